-- A function may ask which migrations were applied, so that a health check can tell that the schema and the code belong together.

grant select on foundation.migration to bourse_app;
