-- How many bids of a bucket came back unpaid. The book holds the bucket's offer after each, so the planner makes a new version of it.

create index bid_unpaid on ledger.bid (tenant_id, portfolio_id, bucket_id)
  where reason in ('insufficient_cash', 'investor_blocked');

create view ledger.bucket_returned with (security_invoker = true) as
  select tenant_id, portfolio_id, bucket_id, count(*)::bigint as returned from ledger.bid
  where reason in ('insufficient_cash', 'investor_blocked') group by tenant_id, portfolio_id, bucket_id;

grant select on ledger.bucket_returned to bourse_app;
