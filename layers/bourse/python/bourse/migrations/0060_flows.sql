-- What the flows of a payment, a withdrawal and a reversal ask, each in one round trip; and cash that a hold reserves no longer.

-- The last effective time up to p_until of what there is of a flavor, of one account or (null) of all.
create function ledger.latest(p_tenant text, p_flavor text, p_account text, p_until timestamptz) returns timestamptz language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
  select max(l.latest_at) from books.lot l
  where l.flavor_no = (select f.flavor_no from books.flavor f where f.tenant_id = p_tenant and f.flavor_id = p_flavor)
    and p_account is null and l.amount <> 0 and l.latest_at <= p_until and l.latest_at > '-infinity'
  having p_account is null
  union all
  select max(l.latest_at) from books.lot l
  where l.account_no = (select a.account_no from books.account a where a.tenant_id = p_tenant and a.account_id = p_account)
    and l.flavor_no = (select f.flavor_no from books.flavor f where f.tenant_id = p_tenant and f.flavor_id = p_flavor)
    and l.amount <> 0 and l.latest_at <= p_until and l.latest_at > '-infinity'
  having p_account is not null
$$;

-- The active portfolios of the investors whose cash a transaction moved, and of those who are named. Looked up one by one by their keys.
create function ledger.portfolios_of(p_tenant text, p_txn text, p_investors text[]) returns setof text language sql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
  select p.portfolio_id from (
    select substr(a.account_id, 6) as investor_id
    from (select distinct l.account_no from (
        select m.src as lot_no from books.move m
        where m.txn_no = (select x.txn_no from books.txn x where x.tenant_id = p_tenant and x.txn_id = p_txn)
        union select m.dst from books.move m
        where m.txn_no = (select x.txn_no from books.txn x where x.tenant_id = p_tenant and x.txn_id = p_txn)) m
      cross join lateral (select y.account_no from books.lot y where y.lot_no = m.lot_no offset 0) l) n
    cross join lateral (select z.account_id from books.account z where z.account_no = n.account_no offset 0) a
    where a.account_id like 'cash/%'
    union select unnest(p_investors)) i
  cross join lateral (select q.portfolio_id from trading.portfolio q
    where q.tenant_id = p_tenant and q.investor_id = i.investor_id and q.status = 'active' offset 0) p
  order by 1
$$;

-- Ask it by account_id, as before. A hold that is over holds nothing, whether or not anybody has spent from the lot since.
create or replace view ledger.investor_cash with (security_invoker = true) as
  select a.tenant_id, a.account_id, substr(a.account_id, 6) as investor_id, f.flavor_id as currency,
    sum(l.amount - l.held + e.over)::bigint as available, sum(l.held - e.over)::bigint as reserved
  from books.account a join books.lot l using (account_no) join books.flavor f using (flavor_no)
  cross join lateral (
    select case when l.held = 0 then 0 else (
      select coalesce(sum(m.amount), 0) from books.hold h join books.hold_move m using (hold_no)
      where h.account_no = l.account_no and h.flavor_no = l.flavor_no and not h.is_over and h.expires_at <= now() and m.lot_no = l.lot_no) end as over) e
  where a.account_id like 'cash/%' and f.flavor_id ~ '^[A-Z]{3}$' group by a.tenant_id, a.account_id, f.flavor_id;
