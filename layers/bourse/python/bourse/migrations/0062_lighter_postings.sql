-- Postings take an eighth less: what is checked of each row stands in the plan, and what was asked twice is asked once.

-- A check constraint is read from its text and planned again in every statement that writes to its table, which was a tenth of a posting. What a policy
-- checks is planned with the statement. It binds everybody who writes, the owner of the tables too; only a superuser could go around it.
create policy overdraft on books.lot as restrictive using (true) with check (held >= 0 and (floor is null or amount - held >= floor));
alter table books.lot drop constraint overdraft;
create policy sound on books.move as restrictive using (true) with check (amount > 0 and src <> dst);
alter table books.move drop constraint move_check;

-- A trigger of rows reads every row it might be for once more. `books.post` is the only one who sets the floor of a lot that is there, and tells it itself.
drop trigger tell_new_floor on books.lot;
alter table books.lot add column floor_moved boolean not null default false;
comment on column books.lot.floor_moved is 'whether the last call of books.post that touched the lot set another floor, which is told in the chain';
create or replace function books.tell_floor() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('books.importing', true), '') <> 'on'
      and exists (select from books.account a where a.account_no = new.account_no and a.floor is distinct from new.floor) then
    insert into books.told (tenant_id, what, no, floor) values (new.tenant_id, 'f', new.lot_no, new.floor);
  end if;
  return null;
end $$;

-- What a lot spends and gets differs in every entry of these, so there is nothing to find twice when a page is full.
alter index books.move_by_source set (deduplicate_items = off);
alter index books.move_by_destination set (deduplicate_items = off);

-- As before (0050_books.sql), but that it tells new floors and counts the lots while it moves them. A lot's number may be 0, as null is: it is to be
-- found by its key. Where it is -1, the answer has the number of the lot that was found, in the order asked and below zero, before the time of recording:
-- who keeps it need not have it looked for again. A rank may be -1: the lot does not rise.
create or replace function books.post(
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
  v_found int;
  v_xid bigint := pg_current_xact_id()::text::bigint;
  v_first timestamptz := (select min(at) from unnest(t_at) at);
  v_before boolean;
  v_late bigint[];
  v_since timestamptz[];
  v_least numeric[];
  v_moved bigint[];
  v_floors bigint[];
  v_at timestamptz := case when l_from = '{}' then l_at[1] end;
begin
  perform set_config('app.tenant', p_tenant, true), pg_advisory_xact_lock_shared(hashtextextended(p_tenant, 7));
  if exists (select from unnest(t_id) u(id) join books.refusal r on r.tenant_id = p_tenant and r.txn_id = u.id) then
    raise exception 'refused before' using errcode = 'BK003';
  end if;
  select array_agg(nextval('books.txn_no')) into v_nos from generate_series(1, cardinality(t_id));
  v_base := v_nos[1] << 20;
  insert into books.txn (txn_no, tenant_id, txn_id, kind, digest, effective_at, xid, correlation_id, tags)
  select u.no, p_tenant, u.id, coalesce(u.kind, t_kind[1]), u.digest, coalesce(u.at, t_at[1]), v_xid, coalesce(u.corr, t_corr[1]), coalesce(u.tags, t_tags[1])
  from (select unnest(v_nos) as no, unnest(t_id) as id, unnest(t_kind) as kind, unnest(t_digest) as digest, unnest(t_at) as at, unnest(t_corr) as corr,
    unnest(t_tags) as tags) u order by u.id;

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
  from (select generate_subscripts(m_amount, 1) as o, unnest(m_txn) as t, unnest(m_seq) as n, unnest(m_action) as a, unnest(m_type) as y, unnest(m_src) as s,
    unnest(m_dst) as d, unnest(m_amount) as m, unnest(m_tagset) as g) u;

  -- `= any` of one lot, because no plan but this one can follow it: lot after lot, in their order.
  with moved as (update books.lot x
  set amount = x.amount + q.net, held = x.held + q.held, version = x.version + 1, latest_at = greatest(x.latest_at, q.at),
    floor = coalesce(q.floor, x.floor), floor_moved = q.floor is not null and q.floor is distinct from x.floor,
    opened_no = case when q.rank is not null and (q.known or x.amount <= 0 and x.amount + q.net > 0) then v_base + q.rank else x.opened_no end
  from (select u.lot, books.total(u.net) as net, books.total(u.held) as held, books.total(u.low) as low,
               coalesce(min(u.since), case when books.total(u.low) < 0 then v_at end) as since, coalesce(max(u.at), l_at[1]) as at,
               min(u.floor) as floor, max(nullif(u.rank, -1)) as rank, coalesce(bool_and(u.known), false) as known, count(*) as times
        from (select unnest(v_lots) as lot, unnest(l_account) as account, unnest(l_net) as net, unnest(l_held) as held, unnest(l_low) as low,
          unnest(l_from) as since, unnest(l_at) as at, unnest(l_set) as floor, unnest(l_rank) as rank, unnest(l_known) as known) u
        group by u.account, u.lot order by u.account, u.lot) q
  where x.lot_no = any(array[q.lot]) and x.tenant_id = p_tenant and not x.closed and (q.known or q.low = 0 or x.floor is null and q.floor is null
    or x.amount - x.held + q.low >= coalesce(q.floor, x.floor) and (x.amount + q.low > 0 or q.net = q.low))
  returning x.lot_no, q.times, x.floor, x.floor_moved, q.since, x.floor + q.net - q.low as least, v_first < x.summed_until as before,
    not q.known and q.low < 0 and x.floor is not null and q.since < x.latest_at as late)
  select books.total(times), bool_or(before), array_agg(lot_no) filter (where late), array_agg(since) filter (where late), array_agg(least) filter (where late),
    array_agg(lot_no) filter (where floor_moved), array_agg(floor) filter (where floor_moved)
  into v_found, v_before, v_late, v_since, v_least, v_moved, v_floors from moved;
  if v_found is distinct from cardinality(v_lots) then
    perform books.refuse(p_tenant, v_lots);
  end if;
  if v_moved is not null then
    insert into books.told (tenant_id, what, no, floor) select p_tenant, 'f', u.lot, u.floor from unnest(v_moved, v_floors) u(lot, floor);
  end if;
  if exists (select from books.declared_sum where tenant_id = p_tenant) then
    perform books.add_to_sums(p_tenant, v_nos);
  end if;
  if v_before or v_late is not null then
    perform books.look_back(p_tenant, v_nos, v_late, v_since, v_least);
  end if;
  return v_nos || case when -1 = any(l_no) then array(select -u.lot from unnest(v_lots, l_no) with ordinality u(lot, no, n) where u.no = -1 order by u.n) end
    || (extract(epoch from now()) * 1000000)::bigint;
end $$;

-- As before, without a setting for tables too small to be looked up in.
create or replace function books.post_one(
  p_tenant text, t_id text, t_kind text, t_digest bytea, t_at timestamptz, t_corr text, t_tags jsonb,
  p_type "char", p_flavor bigint, p_amount bigint, p_tagset bigint,
  s_account bigint, s_free boolean, s_slot smallint, d_account bigint, d_tagset bigint, d_slot smallint, d_floor bigint
) returns bigint[] language plpgsql security definer set search_path = pg_catalog as $$
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

-- As before; a number that is not above zero is none.
create or replace function books.find_lots(p_tenant text, l_no bigint[], l_account bigint[], l_flavor bigint[], l_tagset bigint[], l_slot smallint[])
returns bigint[] language plpgsql stable as $$
begin
  return array(
    select case when u.no > 0 then u.no when u.t >= 0
      then (select x.lot_no from books.lot x
        where x.account_no = u.a and x.flavor_no = coalesce(u.f, l_flavor[1]) and x.tagset_no = u.t and x.slot = coalesce(u.s, 0) and x.tenant_id = p_tenant)
      else (select x.lot_no from books.lot x
        where x.account_no = u.a and x.flavor_no = coalesce(u.f, l_flavor[1]) and x.amount > 0 and x.tenant_id = p_tenant order by x.opened_no, x.lot_no limit 1)
      end
    from (select unnest(l_no) as no, unnest(l_account) as a, unnest(l_flavor) as f, unnest(l_tagset) as t, unnest(l_slot) as s) u);
end $$;

-- As before; what is below zero in the answer are lots.
create or replace function books.keep_signatures(p_warrant jsonb, p_numbers bigint[]) returns bigint[] language plpgsql as $$
begin
  if exists (select from jsonb_to_recordset(p_warrant->'signatures') s(key_id text, version int)
             where not books.key_signs(s.key_id, s.version, (p_warrant->>'at')::timestamptz)) then
    raise exception 'a key has ended' using errcode = 'BK010';
  end if;
  insert into books.signature (posting_no, place, tenant_id, key_id, version, scope, digest, signature, txn_nos, accepted_at)
  select p_numbers[1], s.place, foundation.tenant(), s.one->>'key_id', (s.one->>'version')::int, s.one->>'scope', decode(s.one->>'digest', 'hex'),
    decode(s.one->>'signature', 'hex'),
    case when s.one->'covers' = 'null'
      then array(select no from unnest(p_numbers[:cardinality(p_numbers) - 1]) with ordinality u(no, n) where no > 0 order by n) else array(
      select case when c.no::bigint > 0 then c.no::bigint else p_numbers[-c.no::bigint] end
      from jsonb_array_elements_text(s.one->'covers') with ordinality c(no, n) order by c.n) end,
    (p_warrant->>'at')::timestamptz
  from jsonb_array_elements(p_warrant->'signatures') with ordinality s(one, place);
  return p_numbers;
end $$;
