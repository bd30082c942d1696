-- Trading: portfolios with every version of their terms, the live buy offer of each bucket, and every plan with what it was made of.

create schema trading;
grant usage on schema trading to bourse_app;

create table trading.portfolio (
  tenant_id text not null,
  portfolio_id text not null check (portfolio_id ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  investor_id text not null,
  status text not null check (status in ('draft', 'active', 'paused', 'closed')),
  version int not null,
  primary key (tenant_id, portfolio_id)
);
create index portfolio_by_investor on trading.portfolio (tenant_id, investor_id, portfolio_id);

create table trading.portfolio_version (
  tenant_id text not null,
  portfolio_id text not null,
  version int not null check (version > 0),
  terms jsonb not null,
  recorded_at timestamptz not null,
  primary key (tenant_id, portfolio_id, version)
);

create table trading.buy_offer (
  tenant_id text not null,
  portfolio_id text not null,
  bucket_id text not null,
  version int not null,
  volume bigint not null check (volume >= 0),
  cost bigint not null check (cost >= 0),
  digest text not null,
  primary key (tenant_id, portfolio_id, bucket_id)
);

-- One row a plan, kept under the message that caused it: hearing that again finds the plan made, and says it again.
-- plan_no grows in the order plans are made, because an investor's plans are made one at a time; clocks of two functions may differ.
create table trading.plan (
  tenant_id text not null,
  portfolio_id text not null,
  cause_id text not null,
  plan_no bigint generated always as identity,
  planned_at timestamptz not null,
  facts jsonb not null,
  buckets jsonb not null,
  said text,
  primary key (tenant_id, portfolio_id, cause_id)
);
create index plan_by_number on trading.plan (tenant_id, portfolio_id, plan_no desc);

select foundation.isolate_tenants(t::regclass)
from unnest(array['trading.portfolio', 'trading.portfolio_version', 'trading.buy_offer', 'trading.plan']) t;
select foundation.append_only(t::regclass) from unnest(array['trading.portfolio_version', 'trading.plan']) t;

grant select, insert on trading.portfolio, trading.buy_offer to bourse_app;
grant update (status, version) on trading.portfolio to bourse_app;
grant update (version, volume, cost, digest) on trading.buy_offer to bourse_app;
grant select, insert on trading.portfolio_version, trading.plan to bourse_app;
