-- Parties: who sells and buys, the products and rates they do it at. What business people change is versions: added, never changed.

create schema parties;
grant usage on schema parties to bourse_app;

create table parties.originator (
  tenant_id text not null,
  originator_id text not null check (originator_id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  name text not null,
  status text not null check (status in ('onboarding', 'active', 'suspended', 'terminated')),
  product_id text not null,
  created_at timestamptz not null,
  primary key (tenant_id, originator_id)
);

create table parties.investor (
  tenant_id text not null,
  investor_id text not null check (investor_id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  name text not null,
  status text not null check (status in ('onboarding', 'active', 'blocked', 'closed')),
  created_at timestamptz not null,
  primary key (tenant_id, investor_id)
);

create table parties.product_version (
  tenant_id text not null,
  product_id text not null check (product_id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  version int not null check (version > 0),
  terms jsonb not null,
  author text not null,
  recorded_at timestamptz not null,
  primary key (tenant_id, product_id, version)
);

create table parties.personal_rate (
  tenant_id text not null,
  investor_id text not null,
  product_id text not null,
  version int not null check (version > 0),
  buy_ratio numeric not null check (buy_ratio > 0),
  author text not null,
  recorded_at timestamptz not null,
  primary key (tenant_id, investor_id, product_id, version)
);

-- Who changed what and when. Written in the transaction of the change.
create table parties.audit (
  tenant_id text not null,
  audit_no bigint generated always as identity,
  actor text not null,
  action text not null,
  subject text not null,
  detail jsonb not null,
  recorded_at timestamptz not null,
  primary key (tenant_id, audit_no)
);
create index audit_by_subject on parties.audit (tenant_id, subject, audit_no);

select foundation.isolate_tenants(t::regclass)
from unnest(array['parties.originator', 'parties.investor', 'parties.product_version', 'parties.personal_rate', 'parties.audit']) t;
select foundation.append_only(t::regclass) from unnest(array['parties.product_version', 'parties.personal_rate', 'parties.audit']) t;

-- Only the status of a party changes in place, and every change of it is in the audit.
grant select, insert on parties.originator, parties.investor, parties.product_version, parties.personal_rate, parties.audit to bourse_app;
grant update (status) on parties.originator, parties.investor to bourse_app;
