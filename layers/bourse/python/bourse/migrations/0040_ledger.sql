-- The ledger: a journal of moves that is only added to, balances per account and flavor that follow it in the same transaction,
-- and what became of every bid. A flavor is a currency, or the principal of one loan; every flavor sums to zero over all accounts.

create schema ledger;
grant usage on schema ledger to bourse_app;

create table ledger.account (
  tenant_id text not null,
  account_id text not null,
  kind text not null check (kind in ('world', 'investor_cash', 'originator_proceeds', 'fee_revenue', 'loan_issuer', 'claims')),
  owner text not null,
  portfolio_id text,
  bucket_id text,
  primary key (tenant_id, account_id)
);
create index account_by_owner on ledger.account (tenant_id, owner, kind);

create table ledger.loan (
  tenant_id text not null,
  flavor text not null,
  originator_id text not null,
  loan_id text not null,
  currency text,
  status text not null default 'active' check (status in ('active', 'repaid', 'withdrawn', 'defaulted')),
  version int not null,
  primary key (tenant_id, flavor)
);

-- Accounts that every settlement touches have sixteen slots, so that two writers seldom wait for one row; readers sum the slots.
create table ledger.balance (
  tenant_id text not null,
  account_id text not null,
  flavor text not null,
  slot smallint not null default 0,
  amount bigint not null default 0,
  floor bigint,
  primary key (tenant_id, account_id, flavor, slot),
  constraint no_overdraft check (amount >= floor)
) with (fillfactor = 70);
create index balance_by_flavor on ledger.balance (tenant_id, flavor);

create table ledger.txn (
  tenant_id text not null,
  txn_id text not null,
  kind text not null,
  effective_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  correlation_id text not null,
  payload text not null,
  tags jsonb not null,
  primary key (tenant_id, txn_id)
);

create table ledger.move (
  tenant_id text not null,
  txn_id text not null,
  seq smallint not null,
  src text not null,
  dst text not null,
  flavor text not null,
  amount bigint not null check (amount > 0),
  check (src <> dst),
  primary key (tenant_id, txn_id, seq)
);
create index move_by_source on ledger.move (tenant_id, src, flavor);
create index move_by_destination on ledger.move (tenant_id, dst, flavor);

create table ledger.bid (
  tenant_id text not null,
  bid_id text not null,
  outcome text not null check (outcome in ('settled', 'returned')),
  reason text,
  offer_id text not null,
  loan_id text not null,
  originator_id text not null,
  investor_id text not null,
  portfolio_id text not null,
  bucket_id text not null,
  risk_class text,
  currency text not null,
  principal bigint not null check (principal > 0),
  sell_amount bigint not null,
  buy_amount bigint not null,
  correlation_id text not null,
  decided_at timestamptz not null,
  check (buy_amount >= sell_amount),
  check ((outcome = 'returned') = (reason is not null)),
  primary key (tenant_id, bid_id)
);
create index bid_by_loan on ledger.bid (tenant_id, originator_id, loan_id);
create index bid_by_portfolio on ledger.bid (tenant_id, portfolio_id, decided_at);

create table ledger.bucket_total (
  tenant_id text not null,
  portfolio_id text not null,
  bucket_id text not null,
  principal bigint not null check (principal >= 0),
  settled_total bigint not null check (settled_total >= principal),
  primary key (tenant_id, portfolio_id, bucket_id)
) with (fillfactor = 70);

select foundation.isolate_tenants(t::regclass)
from unnest(array['ledger.account', 'ledger.loan', 'ledger.balance', 'ledger.txn', 'ledger.move', 'ledger.bid', 'ledger.bucket_total']) t;
select foundation.append_only(t::regclass) from unnest(array['ledger.txn', 'ledger.move', 'ledger.bid', 'ledger.account']) t;
grant select, insert on ledger.account, ledger.txn, ledger.move, ledger.bid to bourse_app;
grant select, insert, update on ledger.loan, ledger.balance, ledger.bucket_total to bourse_app;

-- Post transactions of one tenant: all of p or nothing. p is
--   {"accounts": [[account_id, kind, owner, portfolio_id, bucket_id]],
--    "txns": [[txn_id, kind, effective_at, correlation_id, payload, tags]],
--    "moves": [[txn_id, seq, src, dst, flavor, amount]]}
-- The journal is written first and balances last, in the order of their key, so that locks are held shortly and never crosswise.
-- Only what may not be overdrawn has a floor: an investor's cash and claims, an originator's proceeds.
-- Raises unique_violation for a txn_id that was posted before, and check_violation no_overdraft.
create function ledger.post(p_tenant text, p jsonb) returns void language plpgsql
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
declare
  v_slot smallint := pg_backend_pid() % 16;
  v_account text[]; v_flavor text[]; v_at smallint[]; v_amount bigint[]; v_floor bigint[];
  v_written int;
begin
  insert into ledger.account (tenant_id, account_id, kind, owner, portfolio_id, bucket_id)
  select p_tenant, a->>0, a->>1, a->>2, a->>3, a->>4 from jsonb_array_elements(p->'accounts') a
  order by a->>0 on conflict do nothing;

  insert into ledger.txn (tenant_id, txn_id, kind, effective_at, correlation_id, payload, tags)
  select p_tenant, t->>0, t->>1, (t->>2)::timestamptz, t->>3, t->>4, t->5 from jsonb_array_elements(p->'txns') t order by t->>0;

  insert into ledger.move (tenant_id, txn_id, seq, src, dst, flavor, amount)
  select p_tenant, m->>0, (m->>1)::smallint, m->>2, m->>3, m->>4, (m->>5)::bigint from jsonb_array_elements(p->'moves') m;

  select array_agg(d.account_id), array_agg(d.flavor), array_agg(d.slot), array_agg(d.amount), array_agg(d.floor)
  into v_account, v_flavor, v_at, v_amount, v_floor
  from (
    select v.account_id, v.flavor, case when a.kind in ('world', 'fee_revenue') then v_slot else 0::smallint end as slot, sum(v.amount)::bigint as amount,
           case when a.kind in ('investor_cash', 'originator_proceeds', 'claims') then 0::bigint end as floor
    from (select m->>2 as account_id, m->>4 as flavor, -(m->>5)::bigint as amount from jsonb_array_elements(p->'moves') m
          union all select m->>3, m->>4, (m->>5)::bigint from jsonb_array_elements(p->'moves') m) v
    join ledger.account a on a.tenant_id = p_tenant and a.account_id = v.account_id
    group by v.account_id, v.flavor, a.kind
    order by v.account_id, v.flavor) d;

  -- A balance that is new starts at nothing with its floor, so that the update below is the one place where it is checked.
  insert into ledger.balance (tenant_id, account_id, flavor, slot, amount, floor)
  select p_tenant, u.a, u.f, u.s, 0, u.l from unnest(v_account, v_flavor, v_at, v_floor) u(a, f, s, l)
  order by u.a, u.f on conflict do nothing;

  perform 1 from ledger.balance b join unnest(v_account, v_flavor, v_at) u(a, f, s)
    on b.tenant_id = p_tenant and b.account_id = u.a and b.flavor = u.f and b.slot = u.s
  order by b.account_id, b.flavor, b.slot for no key update of b;

  update ledger.balance b set amount = b.amount + u.m
  from unnest(v_account, v_flavor, v_at, v_amount) u(a, f, s, m)
  where b.tenant_id = p_tenant and b.account_id = u.a and b.flavor = u.f and b.slot = u.s;
  get diagnostics v_written = row_count;
  if v_written <> coalesce(cardinality(v_account), 0) or exists (
      select from jsonb_array_elements(p->'moves') m where not (m->>2 = any(v_account) and m->>3 = any(v_account))) then
    raise exception 'a move names an account that does not exist' using errcode = 'foreign_key_violation';
  end if;
end $$;

create view ledger.investor_cash with (security_invoker = true) as
  select b.tenant_id, a.owner as investor_id, b.flavor as currency, sum(b.amount)::bigint as available
  from ledger.account a join ledger.balance b using (tenant_id, account_id)
  where a.kind = 'investor_cash' group by b.tenant_id, a.owner, b.flavor;

create view ledger.bucket_position with (security_invoker = true) as
  select tenant_id, portfolio_id, bucket_id, principal, settled_total from ledger.bucket_total;

create view ledger.position with (security_invoker = true) as
  select b.tenant_id, a.owner as investor_id, a.portfolio_id, a.bucket_id, l.originator_id, l.loan_id, l.currency, b.amount as principal, l.status as loan_status
  from ledger.account a
  join ledger.balance b using (tenant_id, account_id)
  join ledger.loan l on l.tenant_id = b.tenant_id and l.flavor = b.flavor
  where a.kind = 'claims' and b.amount > 0;

-- Zero in every row, at any moment: nothing is made and nothing is lost.
create view ledger.trial_balance with (security_invoker = true) as
  select b.tenant_id, coalesce(l.currency, b.flavor) as currency, case when l.flavor is null then 'cash' else 'claims' end as what,
         sum(b.amount) as total, sum(abs(b.amount)) / 2 as volume, count(distinct b.flavor) as flavors
  from ledger.balance b left join ledger.loan l on l.tenant_id = b.tenant_id and l.flavor = b.flavor
  group by 1, 2, 3;

grant select on ledger.investor_cash, ledger.bucket_position, ledger.position, ledger.trial_balance to bourse_app;
