-- Saved templates of transactions: each version is there for ever, so what a posting was made from can be read again.

create table books.template (
  tenant_id text not null,
  template_id text not null,
  version int not null check (version > 0),
  parameters jsonb not null,
  document jsonb not null,
  saved_at timestamptz not null default now(),
  primary key (tenant_id, template_id, version)
);
select foundation.isolate_tenants('books.template'), foundation.append_only('books.template');
grant select, insert on books.template to bourse_app;
