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
--    "moves": [[txn_id, seq, src, dst, flavor, amount, floor]]}
-- `floor` is how low this move's source may stand, from now on; null leaves what its kind says: an investor's cash and claims and
-- an originator's proceeds never go below zero, others have no floor.
-- The journal is written first and balances last, locked in the order of their key, so that locks are short and never crosswise.
-- Accounts and balances are looked up one by one by their primary key: a set-based join is faster by a hair, until a plan made
-- when the tables were small reads all balances of the tenant for each move (measured: 1.6 s for a chunk instead of 20 ms).
-- Raises unique_violation for a txn_id that was posted before, check_violation no_overdraft, foreign_key_violation for an account
-- nobody opened.
create function ledger.post(p_tenant text, p jsonb) returns void language plpgsql set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_slot smallint := pg_backend_pid() % 16;
  v record;
begin
  insert into ledger.account (tenant_id, account_id, kind, owner, portfolio_id, bucket_id)
  select p_tenant, a->>0, a->>1, a->>2, a->>3, a->>4 from jsonb_array_elements(p->'accounts') a
  order by a->>0 on conflict do nothing;

  insert into ledger.txn (tenant_id, txn_id, kind, effective_at, correlation_id, payload, tags)
  select p_tenant, t->>0, t->>1, (t->>2)::timestamptz, t->>3, t->>4, t->5 from jsonb_array_elements(p->'txns') t order by t->>0;

  insert into ledger.move (tenant_id, txn_id, seq, src, dst, flavor, amount)
  select p_tenant, m->>0, (m->>1)::smallint, m->>2, m->>3, m->>4, (m->>5)::bigint from jsonb_array_elements(p->'moves') m;

  for v in
    select d.account_id, d.flavor, d.amount, case when a.kind in ('world', 'fee_revenue') then v_slot else 0 end as slot, a.kind,
           coalesce(d.floor, case when a.kind in ('investor_cash', 'originator_proceeds', 'claims') then 0 end) as floor
    from (select w.account_id, w.flavor, sum(w.amount)::bigint as amount, min(w.floor) as floor
          from (select m->>2 as account_id, m->>4 as flavor, -(m->>5)::bigint as amount, (m->>6)::bigint as floor from jsonb_array_elements(p->'moves') m
                union all select m->>3, m->>4, (m->>5)::bigint, null from jsonb_array_elements(p->'moves') m) w
          group by w.account_id, w.flavor) d
    left join lateral (select kind from ledger.account where tenant_id = p_tenant and account_id = d.account_id offset 0) a on true
    order by d.account_id, d.flavor
  loop
    if v.kind is null then
      raise exception 'a move names the account %, which nobody opened', v.account_id using errcode = 'foreign_key_violation';
    end if;
    update ledger.balance set amount = amount + v.amount, floor = coalesce(v.floor, floor)
    where tenant_id = p_tenant and account_id = v.account_id and flavor = v.flavor and slot = v.slot;
    if not found then
      -- A new balance starts at nothing with its floor, so that the update is the one place where it is checked.
      insert into ledger.balance (tenant_id, account_id, flavor, slot, amount, floor)
      values (p_tenant, v.account_id, v.flavor, v.slot, 0, v.floor) on conflict do nothing;
      update ledger.balance set amount = amount + v.amount, floor = coalesce(v.floor, floor)
      where tenant_id = p_tenant and account_id = v.account_id and flavor = v.flavor and slot = v.slot;
    end if;
  end loop;
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
