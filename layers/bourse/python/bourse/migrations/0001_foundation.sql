-- The ground every domain's tables stand on: the role functions connect as, tenancy, append-only tables, and the outbox.

create schema if not exists foundation;

-- Roles belong to the whole server, so a second database on it, or a race with its migration, finds the role made.
do $$
begin
  create role bourse_app login noinherit nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
exception when duplicate_object or unique_violation then null;
end $$;
-- On Aurora a role that may log in with an IAM token is a member of rds_iam; elsewhere there is no such role.
do $$
begin
  if exists (select from pg_roles where rolname = 'rds_iam') then
    grant rds_iam to bourse_app;
  end if;
end $$;
alter role bourse_app set statement_timeout = '25s';
alter role bourse_app set lock_timeout = '10s';
alter role bourse_app set idle_in_transaction_session_timeout = '30s';
alter role bourse_app set jit = off;
alter role bourse_app set timezone = 'UTC';

grant usage on schema foundation to bourse_app;

-- The tenant of the running transaction, as `Database.transaction` set it; null where nobody did, and null equals no tenant.
create function foundation.tenant() returns text language sql stable parallel safe
  return nullif(current_setting('app.tenant', true), '');

-- Makes the rows of a table visible and writable to their tenant only, also for the table's owner.
create function foundation.isolate_tenants(p_table regclass) returns void language plpgsql as $$
begin
  execute format('alter table %s enable row level security', p_table);
  execute format('alter table %s force row level security', p_table);
  execute format('create policy tenant on %s using (tenant_id = (select foundation.tenant()))', p_table);
end $$;

create function foundation.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception '% of % is refused: its rows are facts, and facts are only added', tg_op, tg_table_schema || '.' || tg_table_name
    using errcode = 'restrict_violation';
end $$;

-- Makes a table append-only for everybody, whatever was granted: what is written is never changed or removed.
create function foundation.append_only(p_table regclass) returns void language plpgsql as $$
begin
  execute format('create trigger append_only before update or delete on %s for each row execute function foundation.refuse_change()', p_table);
  execute format('create trigger append_only_whole before truncate on %s for each statement execute function foundation.refuse_change()', p_table);
end $$;

-- What a command of an API said, written in the command's own transaction. The API sends it after its commit and deletes the row;
-- what it could not send is left here for the relay, which sees all tenants by the name '*'.
create table foundation.outbox (
  tenant_id text not null,
  message_id text not null,
  kind text not null,
  body text not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, message_id)
);
create index outbox_by_age on foundation.outbox (created_at);
alter table foundation.outbox enable row level security;
alter table foundation.outbox force row level security;
create policy tenant on foundation.outbox using (tenant_id = (select foundation.tenant()));
create policy relay on foundation.outbox using ((select foundation.tenant()) = '*') with check (false);
grant select, insert, update, delete on foundation.outbox to bourse_app;
