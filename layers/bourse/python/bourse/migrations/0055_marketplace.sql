-- The marketplace's money and claims lie in the books and nowhere else. The ledger's own accounts, journal and balances go; what is no
-- money stays in schema `ledger`: what became of each bid, what each bucket ever settled, and whether a loan is active.
-- Nothing was released with the old tables, so no rows are moved.

drop view ledger.investor_cash, ledger.bucket_position, ledger.position, ledger.trial_balance;
drop function ledger.post;
drop table ledger.move, ledger.txn, ledger.balance, ledger.account, ledger.bucket_total;

-- How much principal a bucket has ever settled; what it holds now is in the books.
create table ledger.bucket_total (
  tenant_id text not null,
  portfolio_id text not null,
  bucket_id text not null,
  investor_id text not null,
  settled_total bigint not null check (settled_total > 0),
  primary key (tenant_id, portfolio_id, bucket_id)
) with (fillfactor = 70);
create index bucket_total_by_investor on ledger.bucket_total (tenant_id, investor_id);
select foundation.isolate_tenants('ledger.bucket_total');
grant select, insert, update on ledger.bucket_total to bourse_app;

-- Open accounts and flavors that are not there and number tag sets, in sets, and say the numbers of all of them. p is
--   {"accounts": [[account_id, tags, floor, hot]], "flavors": [[flavor_id, tags]], "tagsets": [[digest in hexadecimal, tags]]}
-- What is there stays as it is.
-- Here and below, rows are looked up one by one by their keys (subqueries, and offset 0, which keeps them from becoming joins): a plan
-- made when tables were small would read all rows of the tenant, and row-level security uses no index for comparing with an expression.
create function books.open_missing(p_tenant text, p jsonb) returns jsonb language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  perform set_config('app.tenant', p_tenant, true);
  with opened as (
    insert into books.account (tenant_id, account_id, tags, floor, hot, key_ids, quorum)
    select p_tenant, u.id, u.tags, u.floor, u.hot, u.key_ids, u.quorum
    from (select e->>0 as id, e->1 as tags, (e->>2)::bigint as floor, (e->>3)::boolean as hot, array(select jsonb_array_elements_text(e->4)) as key_ids,
            (e->>5)::smallint as quorum
          from jsonb_array_elements(p->'accounts') e offset 0) u
    where (select x.account_no from books.account x where x.tenant_id = p_tenant and x.account_id = u.id) is null
    order by 2 on conflict do nothing returning account_no, tags)
  insert into books.tags_told (tenant_id, what, no, since_no, tags) select p_tenant, 'a', account_no, nextval('books.txn_no'), tags from opened;

  with opened as (
    insert into books.flavor (tenant_id, flavor_id, tags, key_ids, quorum)
    select p_tenant, u.id, u.tags, u.key_ids, u.quorum
    from (select e->>0 as id, e->1 as tags, array(select jsonb_array_elements_text(e->2)) as key_ids, (e->>3)::smallint as quorum
          from jsonb_array_elements(p->'flavors') e offset 0) u
    where (select x.flavor_no from books.flavor x where x.tenant_id = p_tenant and x.flavor_id = u.id) is null
    order by 2 on conflict do nothing returning flavor_no, tags)
  insert into books.tags_told (tenant_id, what, no, since_no, tags) select p_tenant, 'f', flavor_no, nextval('books.txn_no'), tags from opened;

  insert into books.tagset (tenant_id, digest, tags)
  select p_tenant, u.digest, u.tags from (select decode(e->>0, 'hex') as digest, e->1 as tags from jsonb_array_elements(p->'tagsets') e offset 0) u
  where (select x.tagset_no from books.tagset x where x.tenant_id = p_tenant and x.digest = u.digest) is null
  order by 2 on conflict do nothing;

  return jsonb_build_object(
    'accounts', coalesce((select jsonb_agg(jsonb_build_array(x.account_no, x.account_id, x.tags, x.floor, x.hot, x.closed_at is not null, x.key_ids, x.quorum))
      from (select e->>0 as id from jsonb_array_elements(p->'accounts') e offset 0) u
      cross join lateral (select * from books.account x where x.tenant_id = p_tenant and x.account_id = u.id offset 0) x), '[]'),
    'flavors', coalesce((select jsonb_agg(jsonb_build_array(x.flavor_no, x.flavor_id, x.tags, x.key_ids, x.quorum))
      from (select e->>0 as id from jsonb_array_elements(p->'flavors') e offset 0) u
      cross join lateral (select * from books.flavor x where x.tenant_id = p_tenant and x.flavor_id = u.id offset 0) x), '[]'),
    'tagsets', coalesce((select jsonb_agg(jsonb_build_array(u.name, x.tagset_no))
      from (select e->>0 as name, decode(e->>0, 'hex') as digest from jsonb_array_elements(p->'tagsets') e offset 0) u
      cross join lateral (select * from books.tagset x where x.tenant_id = p_tenant and x.digest = u.digest offset 0) x), '[]'));
end $$;

-- What of a lot can be spent by an entry of that time: what is free now, or less where the lot will have stood lower since.
create function ledger.spendable(p_lot bigint, p_since timestamptz) returns bigint language sql stable as $$
  select coalesce(min(stands), 0)::bigint from (
    select sum(sum(change)) over (order by at) as stands from (
      select p_since as at, 0 as change
      union all select greatest(effective_at, p_since), -amount from books.move where src = p_lot
      union all select greatest(effective_at, p_since), amount from books.move where dst = p_lot) m
    group by at) s
$$;

-- All that the settlement of a chunk of bids depends on, in one round trip and without the lock of a row: what is decided by it is
-- booked on condition that it still holds. p_alone waits for the tenant's other settlements and lets none begin until the commit: for
-- the one that was overtaken by another, which then is overtaken by none. Accounts of cash and investors belong together, and flavors of loans, their issuers.
-- Cash counts up to p_until, a little later than p_at, as clocks differ; of a lot that changes after it, what stays until the end.
-- A hold that is over by p_at holds nothing. `latest` is the last effective time up to p_until of what would be spent.
create function ledger.settlement_facts(p_tenant text, p_currency text, p_at timestamptz, p_until timestamptz, p_alone boolean,
  p_bids text[], p_cash text[], p_investors text[], p_flavors text[], p_issuers text[]) returns jsonb language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
  v_currency bigint := (select flavor_no from books.flavor where tenant_id = p_tenant and flavor_id = p_currency);
begin
  if p_alone then
    perform pg_advisory_xact_lock(hashtextextended(p_tenant, 9));
  else
    perform pg_advisory_xact_lock_shared(hashtextextended(p_tenant, 9));
  end if;
  return jsonb_build_object(
    'known', (select jsonb_agg(jsonb_build_array(b.bid_id, b.reason, b.originator_id, b.loan_id, b.investor_id, b.portfolio_id, b.bucket_id,
        b.currency, b.principal, b.sell_amount, b.buy_amount))
      from unnest(p_bids) u(id) cross join lateral (select * from ledger.bid x where x.tenant_id = p_tenant and x.bid_id = u.id offset 0) b),
    'inactive', (select jsonb_agg(u.id) from unnest(p_investors) u(id)
      where (select x.status from parties.investor x where x.tenant_id = p_tenant and x.investor_id = u.id) <> 'active'),
    'cash', (select jsonb_agg(jsonb_build_array(u.investor, c.free, c.latest)) from unnest(p_cash, p_investors) u(account, investor) cross join lateral (
      select max(l.latest_at) filter (where l.latest_at <= p_until) as latest,
        sum(case when l.latest_at <= p_until then l.amount else least(l.amount, ledger.spendable(l.lot_no, p_at)) end - l.held
          + case when l.held = 0 then 0 else (select coalesce(sum(m.amount), 0) from books.hold h join books.hold_move m using (hold_no)
              where h.account_no = l.account_no and h.flavor_no = l.flavor_no and not h.is_over and h.expires_at <= p_at and m.lot_no = l.lot_no) end) as free
      from books.lot l
      where l.account_no = (select a.account_no from books.account a where a.tenant_id = p_tenant and a.account_id = u.account)
        and l.flavor_no = v_currency and l.amount > 0) c where c.free is not null),
    'loans', (select jsonb_agg(jsonb_build_array(u.flavor, n.status, n.version, l.amount, l.floor, l.latest))
      from unnest(p_flavors, p_issuers) u(flavor, issuer)
      left join lateral (select x.status, x.version from ledger.loan x where x.tenant_id = p_tenant and x.flavor = u.flavor offset 0) n on true
      left join lateral (
        select x.amount, x.floor, case when x.latest_at <= p_until and x.latest_at > '-infinity' then x.latest_at end as latest from books.lot x
        where x.account_no = (select a.account_no from books.account a where a.tenant_id = p_tenant and a.account_id = u.issuer)
          and x.flavor_no = (select f.flavor_no from books.flavor f where f.tenant_id = p_tenant and f.flavor_id = u.flavor)
          and x.tagset_no = 0 and x.slot = 0 offset 0) l on true));
end $$;

-- Keep what became of bids, in the transaction that booked the settled ones. p is
--   {"currency", "correlation", "at", "loans": [[flavor, originator, loan, version]], "bids": [[bid_id, reason, offer_id, loan_id,
--    originator_id, investor_id, portfolio_id, bucket_id, risk_class, principal, sell_amount, buy_amount, flavor]]}
-- A bid on a version above the one that closed a loan says that it is active again. Raises BK002 when a loan of a settled bid has
-- closed meanwhile, unique_violation when another delivery decided one of the bids: then all of it is to be decided again.
-- Order of waiting, after the books': loans by flavor, bids by id, buckets by portfolio and bucket.
create function ledger.keep_bids(p_tenant text, p jsonb) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  insert into ledger.loan as l (tenant_id, flavor, originator_id, loan_id, currency, version)
  select p_tenant, n->>0, n->>1, n->>2, p->>'currency', (n->>3)::int from jsonb_array_elements(p->'loans') n
  order by n->>0 on conflict (tenant_id, flavor) do update
  set currency = excluded.currency, status = case when excluded.version > l.version then 'active' else l.status end,
    version = greatest(l.version, excluded.version)
  where l.currency is null or excluded.version > l.version;
  if exists (select from (select b->>12 as flavor from jsonb_array_elements(p->'bids') b where b->>1 is null offset 0) u
             where (select l.status from ledger.loan l where l.tenant_id = p_tenant and l.flavor = u.flavor) <> 'active') then
    raise exception 'a loan has closed meanwhile' using errcode = 'BK002';
  end if;

  insert into ledger.bid (tenant_id, bid_id, outcome, reason, offer_id, loan_id, originator_id, investor_id, portfolio_id, bucket_id, risk_class,
    currency, principal, sell_amount, buy_amount, correlation_id, decided_at)
  select p_tenant, b->>0, case when b->>1 is null then 'settled' else 'returned' end, b->>1, b->>2, b->>3, b->>4, b->>5, b->>6, b->>7, b->>8,
    p->>'currency', (b->>9)::bigint, (b->>10)::bigint, (b->>11)::bigint, p->>'correlation', (p->>'at')::timestamptz
  from jsonb_array_elements(p->'bids') b order by b->>0;

  insert into ledger.bucket_total as t (tenant_id, portfolio_id, bucket_id, investor_id, settled_total)
  select p_tenant, b->>6, b->>7, min(b->>5), sum((b->>9)::bigint) from jsonb_array_elements(p->'bids') b
  where b->>1 is null group by b->>6, b->>7 order by b->>6, b->>7
  on conflict (tenant_id, portfolio_id, bucket_id) do update set settled_total = t.settled_total + excluded.settled_total;
end $$;

-- For other domains. Ask investor_cash by account_id ('cash/' and the investor's id), which has an index.
create view ledger.investor_cash with (security_invoker = true) as
  select a.tenant_id, a.account_id, substr(a.account_id, 6) as investor_id, f.flavor_id as currency,
    sum(l.amount - l.held)::bigint as available, sum(l.held)::bigint as reserved
  from books.account a join books.lot l using (account_no) join books.flavor f using (flavor_no)
  where a.account_id like 'cash/%' and f.flavor_id ~ '^[A-Z]{3}$' group by a.tenant_id, a.account_id, f.flavor_id;

create view ledger.bucket_position with (security_invoker = true) as
  select t.tenant_id, t.portfolio_id, t.bucket_id, (
      select coalesce(sum(l.amount), 0)::bigint from books.account a join books.lot l using (account_no)
      where a.tenant_id = t.tenant_id and a.account_id = 'claims/' || t.portfolio_id || '/' || t.bucket_id) as principal, t.settled_total
  from ledger.bucket_total t;

create view ledger.position with (security_invoker = true) as
  select t.tenant_id, t.investor_id, t.portfolio_id, t.bucket_id, n.originator_id, n.loan_id, n.currency, p.principal, n.status as loan_status
  from ledger.bucket_total t
  cross join lateral (
    select f.flavor_id, sum(l.amount)::bigint as principal
    from books.account a join books.lot l using (account_no) join books.flavor f using (flavor_no)
    where a.tenant_id = t.tenant_id and a.account_id = 'claims/' || t.portfolio_id || '/' || t.bucket_id and l.amount > 0 group by f.flavor_id) p
  join ledger.loan n on n.tenant_id = t.tenant_id and n.flavor = p.flavor_id;

-- Of everything in the books; `total` is zero in every row, at any moment: nothing is made and nothing is lost.
create view ledger.trial_balance with (security_invoker = true) as
  select l.tenant_id, coalesce(f.tags->>'currency', f.flavor_id) as currency, case when f.tags->>'type' = 'loan' then 'claims' else 'cash' end as what,
    sum(l.amount) as total, sum(abs(l.amount)) / 2 as volume, sum(l.held) as held, count(distinct f.flavor_no) as flavors
  from books.lot l join books.flavor f using (flavor_no) group by 1, 2, 3;

grant select on ledger.investor_cash, ledger.bucket_position, ledger.position, ledger.trial_balance to bourse_app;
