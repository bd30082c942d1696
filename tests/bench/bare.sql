-- The least that could be called a ledger: accounts with one balance each, transfers with an id, two indexes to list them by. No lots, tags, refusals,
-- holds, late entries, sums or chain, and a retry is an error. It is what our figures are measured against: how much of it everything else costs.
create table public.balance (
  account_no bigint primary key, amount bigint not null, floor bigint not null, constraint overdraft check (amount >= floor)
) with (fillfactor = 50);
create sequence public.txn_no;
create table public.txn (
  txn_no bigint primary key, txn_id uuid not null unique, effective_at timestamptz not null, recorded_at timestamptz not null default now(), tags jsonb not null
);
create table public.move (
  txn_no bigint not null, seq int not null, src bigint not null, dst bigint not null, amount bigint not null, primary key (txn_no, seq),
  check (amount > 0), check (src <> dst)
);
create index on public.move (src, txn_no);
create index on public.move (dst, txn_no);

create function public.post_one(t_id uuid, t_at timestamptz, t_tags jsonb, m_src bigint, m_dst bigint, m_amount bigint) returns bigint language plpgsql as $$
declare
  v_no bigint := nextval('public.txn_no');
begin
  insert into public.txn (txn_no, txn_id, effective_at, tags) values (v_no, t_id, t_at, t_tags);
  insert into public.move (txn_no, seq, src, dst, amount) values (v_no, 1, m_src, m_dst, m_amount);
  if m_src < m_dst then
    update public.balance set amount = amount - m_amount where account_no = m_src;
    update public.balance set amount = amount + m_amount where account_no = m_dst;
  else
    update public.balance set amount = amount + m_amount where account_no = m_dst;
    update public.balance set amount = amount - m_amount where account_no = m_src;
  end if;
  return v_no;
end $$;

create aggregate public.total(bigint) (sfunc = int8pl, stype = bigint, initcond = '0');
create function public.post(t_id uuid[], t_at timestamptz, t_tags jsonb, m_src bigint[], m_dst bigint[], m_amount bigint[]) returns bigint[] language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
  v_nos bigint[];
begin
  select array_agg(nextval('public.txn_no')) into v_nos from generate_series(1, cardinality(t_id));
  insert into public.txn (txn_no, txn_id, effective_at, tags)
  select u.no, u.id, t_at, t_tags from unnest(v_nos, t_id) u(no, id) order by u.id;
  insert into public.move (txn_no, seq, src, dst, amount) select u.no, 1, u.s, u.d, u.m from unnest(v_nos, m_src, m_dst, m_amount) u(no, s, d, m);
  update public.balance x set amount = x.amount + q.net
  from (select v.account, public.total(v.net) as net
        from (select unnest(m_src) as account, -unnest(m_amount) as net union all select unnest(m_dst), unnest(m_amount)) v
        group by v.account order by v.account) q
  where x.account_no = any(array[q.account]);
  return v_nos;
end $$;
