-- Saved templates of transactions: each version is there for ever, so what a posting was made from can be read again. Their numbers are of the one
-- sequence that orders all that is told (0058_all_in_the_chain.sql).

create table books.template (
  tenant_id text not null,
  template_id text not null,
  version int not null check (version > 0),
  parameters jsonb not null,
  document jsonb not null,
  saved_at timestamptz not null default now(),
  entry_no bigint not null default nextval('books.txn_no'),
  xid bigint not null default pg_current_xact_id()::text::bigint,
  primary key (tenant_id, template_id, version)
);
create unique index template_by_entry on books.template (entry_no);
select foundation.isolate_tenants('books.template'), foundation.append_only('books.template');
grant select, insert on books.template to bourse_app;
