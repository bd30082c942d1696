-- The books: the general ledger. Tokens of flavors lie in lots (an account's tokens of one flavor with the same tags); every
-- action moves tokens from a lot to a lot, so each flavor sums to zero at any moment; moves are only added, and a lot's amount
-- follows them in the same transaction.

create schema books;
grant usage on schema books to bourse_app;

-- Posting runs as this role, which nobody logs in as. It sees the rows it writes whatever their tenant, so every statement of a posting names the tenant
-- itself; row-level security, which plans each of them once more, would take a tenth of a posting's time. To all other tables it is bourse_app.
do $$
begin
  create role bourse_books nologin inherit nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
exception when duplicate_object or unique_violation then null;
end $$;
grant bourse_app to bourse_books;

-- Numbers of transactions and of changed tags: one sequence, so what an account's tags were at a transaction is a comparison.
create sequence books.txn_no;

create table books.flavor (
  flavor_no bigint generated always as identity primary key,
  tenant_id text not null,
  flavor_id text not null,
  tags jsonb not null default '{}',
  unique (tenant_id, flavor_id)
);

-- `floor` is how low the account's untagged tokens may stand: 0 no overdraft, null no bound, as an account must that others' tokens
-- are issued from. A `hot` account has sixteen lots where others have one, so that its writers seldom wait; only one without a floor can be.
create table books.account (
  account_no bigint generated always as identity primary key,
  tenant_id text not null,
  account_id text not null,
  tags jsonb not null default '{}',
  floor bigint default 0 check (floor <= 0),
  hot boolean not null default false check (not hot or floor is null),
  closed_at timestamptz,
  unique (tenant_id, account_id)
);

-- What tags said from which number on: the frozen snapshot of an action is the latest row not above its transaction.
create table books.tags_told (
  tenant_id text not null,
  what "char" not null check (what in ('a', 'f')),
  no bigint not null,
  since_no bigint not null,
  tags jsonb not null,
  primary key (what, no, since_no)
);

-- Distinct sets of tags, once each; set 0 is the empty one and has no row.
create table books.tagset (
  tagset_no bigint generated always as identity primary key,
  tenant_id text not null,
  tags jsonb not null,
  digest bytea not null,
  unique (tenant_id, digest)
);
create index tagset_by_tag on books.tagset using gin (tags jsonb_path_ops);

create table books.lot (
  lot_no bigint generated always as identity primary key,
  tenant_id text not null,
  account_no bigint not null,
  flavor_no bigint not null,
  tagset_no bigint not null,
  slot smallint not null,
  amount bigint not null default 0,
  held bigint not null default 0,
  floor bigint,
  opened_no bigint not null default 0,
  version bigint not null default 0,
  latest_at timestamptz not null default '-infinity',
  closed boolean not null default false,
  constraint overdraft check (held >= 0 and amount - held >= floor),
  unique (account_no, flavor_no, tagset_no, slot)
) with (fillfactor = 60);
create index lot_by_flavor on books.lot (flavor_no, tagset_no, account_no);

create table books.txn (
  txn_no bigint primary key,
  tenant_id text not null,
  txn_id text not null,
  kind text not null,
  digest bytea not null,
  effective_at timestamptz not null,
  recorded_at timestamptz not null default now(),
  xid bigint not null default pg_current_xact_id()::text::bigint,
  correlation_id text not null,
  tags jsonb not null,
  unique (txn_id, tenant_id)  -- ids differ sooner than tenants do
);
create index txn_as_it_came on books.txn using brin (xid, recorded_at) with (pages_per_range = 16);

-- Requests that were refused for good: the same id is refused again, whatever the books could do by now.
create table books.refusal (
  tenant_id text not null,
  txn_id text not null,
  digest bytea not null,
  code text not null,
  detail text not null,
  field text,
  refused_at timestamptz not null default now(),
  primary key (tenant_id, txn_id)
);

-- A hold, what it has left of each lot, and what was reserved (> 0) and given back or posted (< 0) when.
create table books.hold (
  hold_no bigint generated always as identity primary key,
  tenant_id text not null,
  hold_id text not null,
  account_no bigint not null,
  flavor_no bigint not null,
  expires_at timestamptz,
  is_over boolean not null default false,
  expired boolean not null default false,
  version bigint not null default 0,
  unique (tenant_id, hold_id)
);
create index hold_open on books.hold (account_no, flavor_no) where not is_over;

create table books.hold_move (
  txn_no bigint not null,
  seq int not null,
  action_no int not null,
  type text not null check (type in ('reserve', 'post', 'release', 'expire')),
  hold_no bigint not null,
  lot_no bigint not null,
  amount bigint not null check (amount <> 0 and (amount > 0) = (type = 'reserve')),
  tenant_id text not null,
  primary key (txn_no, seq)
);
create index hold_move_by_hold on books.hold_move (hold_no);

-- What rounding has left a holder owed (-1 < owed < 1, an exact fraction n/d) by the distributions over a flavor.
create table books.owed (
  tenant_id text not null,
  over_flavor_no bigint not null,
  flavor_no bigint not null,
  account_no bigint not null,
  owed text not null,
  primary key (over_flavor_no, flavor_no, account_no)
);

-- An action is its moves: one, or one for each lot it spends.
create table books.move (
  txn_no bigint not null,
  seq int not null,
  action_no int not null,
  type "char" not null,
  src bigint not null,
  dst bigint not null,
  amount bigint not null,
  tagset_no bigint not null,
  effective_at timestamptz not null,
  tenant_id text not null,
  check (amount > 0 and src <> dst),
  primary key (txn_no, seq)
);
create index move_by_source on books.move (src, effective_at, txn_no);
create index move_by_destination on books.move (dst, effective_at, txn_no);

-- Filters as they were written, for the actions that had one.
create table books.asked (
  txn_no bigint not null,
  action_no int not null,
  tenant_id text not null,
  document jsonb not null,
  primary key (txn_no, action_no)
);

select foundation.isolate_tenants(t::regclass) from unnest(array['books.flavor', 'books.account', 'books.tags_told', 'books.tagset', 'books.lot',
  'books.txn', 'books.move', 'books.refusal', 'books.hold', 'books.hold_move', 'books.owed', 'books.asked']) t;
select foundation.append_only(t::regclass) from unnest(array['books.tags_told', 'books.tagset', 'books.txn', 'books.move', 'books.refusal',
  'books.hold_move', 'books.asked']) t;
grant select on all tables in schema books to bourse_app;
grant insert on books.flavor, books.account, books.tags_told, books.tagset, books.lot, books.txn, books.move, books.refusal, books.hold,
  books.hold_move, books.owed, books.asked to bourse_app;
grant update on books.flavor, books.account, books.lot, books.hold, books.owed to bourse_app;
grant usage on sequence books.txn_no to bourse_app;
create policy posting on books.lot to bourse_books using (true);
create policy posting on books.txn to bourse_books using (true);
create policy posting on books.move to bourse_books using (true);
create policy posting on books.refusal to bourse_books using (true);

-- A sum of bigints that stays one: out of range is an error, and a sum() by way of numeric takes three times as long.
create aggregate books.total(bigint) (sfunc = int8pl, stype = bigint, initcond = '0', parallel = safe);

-- Post transactions of one tenant, all or none. Arrays of a letter belong together:
--   t* transactions: id, kind, digest, effective time, correlation id, tags
--   l* lots that are touched: number (null: find or open it by its key), account, flavor, tag set (-1: the oldest lot of the account that
--      is not empty), slot, floor if it is new, floor from now on (null: as it is), what happens to its amount and to what is held of it,
--      the lowest point of its amount on the way (<= 0), the earliest effective time at which it is spent (null: it is not), the latest of
--      all, its rank among the lots that rise above zero now (null: it does not), whether the caller knows it (it is in e*)
--   m* moves: transaction (from 1), place in it, action, type, source lot and destination lot (from 1), amount, tag set of the action
-- An array that is shorter than its others says null, and that is nothing held, not known, slot 0, the place after the action's, no tags; and of kinds,
-- times, correlation ids, tags of transactions, flavors, and types: the same as the first. Without m_txn every transaction has one move, without
-- m_action its action is the first, and without l_from all is spent at the one time there is.
--   e* lots the caller decided by: their number and the version they must still have
-- Of a lot the caller does not know the floor, the later instants and the rank are settled here. Order of waiting, the same in every
-- call, so nobody waits crosswise: transaction ids by name, new lots by key, lots by account and number.
-- Returns the transactions' numbers and then the time of recording in microseconds. Raises unique_violation for an id that was posted,
-- check_violation `overdraft`, and BK001 where a lot does not allow it and it takes a closer look to say why, BK002 a lot has another
-- version than expected, BK003 an id was refused for good, BK004 an account is closed.
create function books.post(
  p_tenant text, t_id text[], t_kind text[], t_digest bytea[], t_at timestamptz[], t_corr text[], t_tags jsonb[],
  l_no bigint[], l_account bigint[], l_flavor bigint[], l_tagset bigint[], l_slot smallint[], l_floor bigint[], l_set bigint[],
  l_net bigint[], l_held bigint[], l_low bigint[], l_from timestamptz[], l_at timestamptz[], l_rank int[], l_known boolean[],
  m_txn int[], m_seq int[], m_action int[], m_type "char"[], m_src int[], m_dst int[], m_amount bigint[], m_tagset bigint[],
  e_no bigint[], e_version bigint[]
) returns bigint[] language plpgsql security definer set search_path = pg_catalog
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
  v_nos bigint[];
  v_lots bigint[];
  v_base bigint;
  v_count int;
  v_touched int;
  v_first timestamptz := (select min(at) from unnest(t_at) at);
  v_before boolean;
  v_late bigint[];
  v_since timestamptz[];
  v_least numeric[];
  v_at timestamptz := case when l_from = '{}' then l_at[1] end;
begin
  perform set_config('app.tenant', p_tenant, true), pg_advisory_xact_lock_shared(hashtextextended(p_tenant, 7));
  if exists (select from unnest(t_id) u(id) join books.refusal r on r.tenant_id = p_tenant and r.txn_id = u.id) then
    raise exception 'refused before' using errcode = 'BK003';
  end if;
  select array_agg(nextval('books.txn_no')) into v_nos from generate_series(1, cardinality(t_id));
  v_base := v_nos[1] << 20;
  insert into books.txn (txn_no, tenant_id, txn_id, kind, digest, effective_at, correlation_id, tags)
  select u.no, p_tenant, u.id, coalesce(u.kind, t_kind[1]), u.digest, coalesce(u.at, t_at[1]), coalesce(u.corr, t_corr[1]), coalesce(u.tags, t_tags[1])
  from unnest(v_nos, t_id, t_kind, t_digest, t_at, t_corr, t_tags) u(no, id, kind, digest, at, corr, tags) order by u.id;

  v_lots := books.find_lots(p_tenant, l_no, l_account, l_flavor, l_tagset, l_slot);
  if array_position(v_lots, null) is not null then
    insert into books.lot (tenant_id, account_no, flavor_no, tagset_no, slot, floor, closed)
    select p_tenant, u.a, coalesce(u.f, l_flavor[1]), u.t, coalesce(u.s, 0), u.floor, (select a.closed_at is not null from books.account a where a.account_no = u.a)
    from unnest(v_lots, l_account, l_flavor, l_tagset, l_slot, l_floor) u(lot, a, f, t, s, floor) where u.lot is null and u.t >= 0
    order by 2, 3, 4, 5 on conflict do nothing;
    v_lots := books.find_lots(p_tenant, v_lots, l_account, l_flavor, l_tagset, l_slot);
    if array_position(v_lots, null) is not null then
      raise exception 'nothing to spend' using errcode = 'BK001';
    end if;
  end if;
  if e_no <> '{}' then
    perform books.expect(p_tenant, v_lots, e_no, e_version);
  end if;

  insert into books.move (txn_no, seq, action_no, type, src, dst, amount, tagset_no, effective_at, tenant_id)
  select v_nos[coalesce(u.t, u.o)], coalesce(u.n, u.a + 1, 1), coalesce(u.a, 0), coalesce(u.y, m_type[1]), v_lots[u.s], v_lots[u.d], u.m, coalesce(u.g, 0),
    coalesce(t_at[coalesce(u.t, u.o)], t_at[1]), p_tenant
  from unnest(m_txn, m_seq, m_action, m_type, m_src, m_dst, m_amount, m_tagset) with ordinality u(t, n, a, y, s, d, m, g, o);

  -- `= any` of one lot, because no plan but this one can follow it: lot after lot, in their order.
  with moved as (update books.lot x
  set amount = x.amount + q.net, held = x.held + q.held, version = x.version + 1, latest_at = greatest(x.latest_at, q.at),
    floor = coalesce(q.floor, x.floor),
    opened_no = case when q.rank is not null and (q.known or x.amount <= 0 and x.amount + q.net > 0) then v_base + q.rank else x.opened_no end
  from (select u.lot, books.total(u.net) as net, books.total(u.held) as held, books.total(u.low) as low,
               coalesce(min(u.since), case when books.total(u.low) < 0 then v_at end) as since, coalesce(max(u.at), l_at[1]) as at,
               min(u.floor) as floor, max(u.rank) as rank, coalesce(bool_and(u.known), false) as known
        from unnest(v_lots, l_account, l_net, l_held, l_low, l_from, l_at, l_set, l_rank, l_known) u(lot, account, net, held, low, since, at, floor, rank, known)
        group by u.account, u.lot order by u.account, u.lot) q
  where x.lot_no = any(array[q.lot]) and x.tenant_id = p_tenant and not x.closed and (q.known or q.low = 0 or x.floor is null and q.floor is null
    or x.amount - x.held + q.low >= coalesce(q.floor, x.floor) and (x.amount + q.low > 0 or q.net = q.low))
  returning x.lot_no, q.since, x.floor + q.net - q.low as least, v_first < x.summed_until as before,
    not q.known and q.low < 0 and x.floor is not null and q.since < x.latest_at as late)
  select count(*), bool_or(before), array_agg(lot_no) filter (where late), array_agg(since) filter (where late), array_agg(least) filter (where late)
  into v_touched, v_before, v_late, v_since, v_least from moved;
  select count(distinct lot) into v_count from unnest(v_lots) lot;
  if v_touched <> v_count then
    perform books.refuse(p_tenant, v_lots);
  end if;
  if exists (select from books.declared_sum where tenant_id = p_tenant) then
    perform books.add_to_sums(p_tenant, v_nos);
  end if;
  if v_before or v_late is not null then
    perform books.look_back(p_tenant, v_nos, v_late, v_since, v_least);
  end if;
  return v_nos || (extract(epoch from now()) * 1000000)::bigint;
end $$;

-- The numbers of lots by their keys, in the order asked; null where there is none.
create function books.find_lots(p_tenant text, l_no bigint[], l_account bigint[], l_flavor bigint[], l_tagset bigint[], l_slot smallint[])
returns bigint[] language plpgsql stable as $$
begin
  return array(
    select case when u.no is not null then u.no when u.t >= 0
      then (select x.lot_no from books.lot x
        where x.account_no = u.a and x.flavor_no = coalesce(u.f, l_flavor[1]) and x.tagset_no = u.t and x.slot = coalesce(u.s, 0) and x.tenant_id = p_tenant)
      else (select x.lot_no from books.lot x
        where x.account_no = u.a and x.flavor_no = coalesce(u.f, l_flavor[1]) and x.amount > 0 and x.tenant_id = p_tenant order by x.opened_no, x.lot_no limit 1)
      end
    from unnest(l_no, l_account, l_flavor, l_tagset, l_slot) with ordinality u(no, a, f, t, s, n) order by u.n);
end $$;

-- Lock lots in the one order and compare the versions of those that were decided by; raises BK002 where one has moved on.
create function books.expect(p_tenant text, p_lots bigint[], e_no bigint[], e_version bigint[]) returns void language plpgsql as $$
begin
  if (select count(*) from (
        select lot_no, version from books.lot where lot_no = any(p_lots || e_no) and tenant_id = p_tenant
        order by account_no, lot_no for no key update) x
      join unnest(e_no, e_version) e(lot, version) on e.lot = x.lot_no and e.version = x.version) <> cardinality(e_no) then
    raise exception 'a lot has another version' using errcode = 'BK002';
  end if;
end $$;

-- `books.post` for the commonest call: one transaction with one action that moves what the oldest lot of one account has to one lot of
-- another. The same checks and the same order of waiting; less to unpack. `s_free`: the source has no floor and spends untagged tokens.
-- Raises BK005 where the second lot in that order is not there yet: whoever opens one must not hold another.
create function books.post_one(
  p_tenant text, t_id text, t_kind text, t_digest bytea, t_at timestamptz, t_corr text, t_tags jsonb,
  p_type "char", p_flavor bigint, p_amount bigint, p_tagset bigint,
  s_account bigint, s_free boolean, s_slot smallint, d_account bigint, d_tagset bigint, d_slot smallint, d_floor bigint
) returns bigint[] language plpgsql security definer set search_path = pg_catalog set enable_seqscan = off as $$
declare
  v_tenant text := set_config('app.tenant', p_tenant, true);
  v_shared boolean := pg_advisory_xact_lock_shared(hashtextextended(p_tenant, 7)) is not null;
  v_no bigint := nextval('books.txn_no');
  v_src bigint;
  v_dst bigint;
  v_late boolean;
  v_before boolean;
  v_dst_before boolean;
  v_floor bigint;
  v_sums boolean;
begin
  insert into books.txn (txn_no, tenant_id, txn_id, kind, digest, effective_at, correlation_id, tags)
  select v_no, p_tenant, t_id, t_kind, t_digest, t_at, t_corr, t_tags
  where not exists (select from books.refusal where tenant_id = p_tenant and txn_id = t_id)
  returning exists (select from books.declared_sum where tenant_id = p_tenant) into v_sums;
  if not found then
    raise exception 'refused before' using errcode = 'BK003';
  end if;
  if d_account < s_account then
    update books.lot set amount = amount + p_amount, version = version + 1, latest_at = greatest(latest_at, t_at),
      opened_no = case when amount <= 0 and amount + p_amount > 0 then v_no << 20 else opened_no end
    where account_no = d_account and flavor_no = p_flavor and tagset_no = d_tagset and slot = d_slot and tenant_id = p_tenant and not closed
    returning lot_no, t_at < summed_until into v_dst, v_dst_before;
    if not found then
      v_dst := books.fill_new_lot(p_tenant, d_account, p_flavor, d_tagset, d_slot, d_floor, p_amount, t_at, v_no);
    end if;
  end if;
  if s_free then
    update books.lot set amount = amount - p_amount, version = version + 1, latest_at = greatest(latest_at, t_at)
    where account_no = s_account and flavor_no = p_flavor and tagset_no = 0 and slot = s_slot and tenant_id = p_tenant
      and (floor is null or amount - held - p_amount >= floor) and not closed
    returning lot_no, floor is not null and t_at < latest_at, t_at < summed_until, floor into v_src, v_late, v_before, v_floor;
    if not found then
      if v_dst is not null then
        perform books.refuse_new(p_tenant, s_account, p_flavor, 0, s_slot);
      end if;
      v_src := books.drain_new_lot(p_tenant, s_account, p_flavor, s_slot, p_amount, t_at);
    end if;
  else
    update books.lot set amount = amount - p_amount, version = version + 1, latest_at = greatest(latest_at, t_at)
    where lot_no = (select lot_no from books.lot where account_no = s_account and flavor_no = p_flavor and amount > 0 and tenant_id = p_tenant
        order by opened_no, lot_no limit 1)
      and amount - held - p_amount >= floor and not closed
    returning lot_no, floor is not null and t_at < latest_at, t_at < summed_until, floor into v_src, v_late, v_before, v_floor;
  end if;
  if d_account > s_account then
    update books.lot set amount = amount + p_amount, version = version + 1, latest_at = greatest(latest_at, t_at),
      opened_no = case when amount <= 0 and amount + p_amount > 0 then v_no << 20 else opened_no end
    where account_no = d_account and flavor_no = p_flavor and tagset_no = d_tagset and slot = d_slot and tenant_id = p_tenant and not closed
    returning lot_no, t_at < summed_until into v_dst, v_dst_before;
    if not found then
      perform books.refuse_new(p_tenant, d_account, p_flavor, d_tagset, d_slot);
    end if;
  end if;
  if v_src is null or v_dst is null then
    perform books.refuse(p_tenant, array(select lot_no from books.lot where account_no in (s_account, d_account) and flavor_no = p_flavor));
  end if;
  insert into books.move (txn_no, seq, action_no, type, src, dst, amount, tagset_no, effective_at, tenant_id)
  values (v_no, 1, 0, p_type, v_src, v_dst, p_amount, p_tagset, t_at, p_tenant);
  if v_sums then
    perform books.add_to_sums(p_tenant, array[v_no]);
  end if;
  if v_late or v_before or v_dst_before then
    perform books.look_back(p_tenant, array[v_no], case when v_late then array[v_src] end, array[t_at], array[v_floor]);
  end if;
  return array[v_no, (extract(epoch from now()) * 1000000)::bigint];
end $$;

-- The first tokens that come to a lot; null where it is there, and closed.
create function books.fill_new_lot(
  p_tenant text, p_account bigint, p_flavor bigint, p_tagset bigint, p_slot smallint, p_floor bigint, p_amount bigint, p_at timestamptz, p_no bigint
) returns bigint language plpgsql as $$
declare
  v_lot bigint;
begin
  insert into books.lot as x (tenant_id, account_no, flavor_no, tagset_no, slot, floor, amount, version, latest_at, opened_no)
  select p_tenant, p_account, p_flavor, p_tagset, p_slot, p_floor, p_amount, 1, p_at, p_no << 20
  from books.account where account_no = p_account and closed_at is null
  on conflict (account_no, flavor_no, tagset_no, slot) do update set amount = x.amount + excluded.amount, version = x.version + 1,
    latest_at = greatest(x.latest_at, excluded.latest_at),
    opened_no = case when x.amount <= 0 and x.amount + excluded.amount > 0 then excluded.opened_no else x.opened_no end
    where not x.closed
  returning lot_no into v_lot;
  return v_lot;
end $$;

-- The first tokens that leave an account without a floor; null where its lot is there and does not allow it.
create function books.drain_new_lot(p_tenant text, p_account bigint, p_flavor bigint, p_slot smallint, p_amount bigint, p_at timestamptz)
returns bigint language plpgsql as $$
declare
  v_lot bigint;
begin
  insert into books.lot as x (tenant_id, account_no, flavor_no, tagset_no, slot, amount, version, latest_at)
  select p_tenant, p_account, p_flavor, 0, p_slot, -p_amount, 1, p_at from books.account where account_no = p_account and closed_at is null
  on conflict (account_no, flavor_no, tagset_no, slot) do update set amount = x.amount + excluded.amount, version = x.version + 1,
    latest_at = greatest(x.latest_at, excluded.latest_at)
    where x.floor is null and not x.closed
  returning lot_no into v_lot;
  return v_lot;
end $$;

-- Says why a lot did not move after another one did. One that has to be opened first is opened by `books.post`, before it locks any.
create function books.refuse_new(p_tenant text, p_account bigint, p_flavor bigint, p_tagset bigint, p_slot smallint) returns void language plpgsql as $$
begin
  if not exists (select from books.lot
      where account_no = p_account and flavor_no = p_flavor and tagset_no = p_tagset and slot = p_slot and tenant_id = p_tenant) then
    raise exception 'a lot has to be opened' using errcode = 'BK005';
  end if;
end $$;

-- Says why lots did not move: an account is closed, or it takes a closer look.
create function books.refuse(p_tenant text, p_lots bigint[]) returns void language plpgsql as $$
begin
  if exists (select from books.lot where lot_no = any(p_lots) and tenant_id = p_tenant and closed) then
    raise exception 'an account is closed' using errcode = 'BK004';
  end if;
  raise exception 'a lot has not enough' using errcode = 'BK001';
end $$;

-- The time of an RFC 3339 text with its offset; null for any other text.
create function books.as_time(p_text text) returns timestamptz language plpgsql immutable parallel safe as $$
begin
  if p_text !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$' then
    return null;
  end if;
  return p_text::timestamptz;
exception when datetime_field_overflow or invalid_datetime_format or invalid_time_zone_displacement_value then
  return null;
end $$;

-- What the tags of an account or a flavor were at a transaction.
create function books.tags_at(p_what "char", p_no bigint, p_txn bigint) returns jsonb language sql stable as $$
  select coalesce((select tags from books.tags_told where what = p_what and no = p_no and since_no <= p_txn order by since_no desc limit 1), '{}')
$$;

-- To give a function to a role one must be of it, and it must be allowed to have it where it lies.
do $$
begin
  execute format('grant bourse_books to %I', current_user);
end $$;
grant create on schema books to bourse_books;
alter function books.post owner to bourse_books;
alter function books.post_one owner to bourse_books;
revoke create on schema books from bourse_books;
