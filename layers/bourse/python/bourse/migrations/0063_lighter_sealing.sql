-- Entries are written out for a block in three quarters of the time, and found without reading all that came since the last vacuum.

-- As before (0053_chain.sql). A list of thousands of numbers in a condition is gone through by the planner, once for every table it is asked of, so only
-- the two tables that are large are asked by it; and what is joined here is as many rows on both sides, which the planner cannot know, so it would sort.
create or replace function books.lines_of_moves(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language plpgsql stable
set plan_cache_mode = force_custom_plan set enable_mergejoin = off as $$
declare
  v_first bigint := (select min(a) from unnest(p_numbers) a);
  v_last bigint := (select max(a) from unnest(p_numbers) a);
begin
  return query
  with n as materialized (select unnest(p_numbers) as entry),
  m as materialized (select * from books.move where txn_no = any(p_numbers)),
  h as materialized (select * from books.hold_move where txn_no in (select n.entry from n)),
  l as materialized (
    select x.lot_no, f.flavor_id, concat('"', a.account_id, '",', coalesce(t.tags, '{}')) as text, a.account_id, coalesce(t.tags, '{}') as tags
    from books.lot x join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)
    where x.lot_no in (select src from m union select dst from m union select lot_no from h)),
  g as materialized (select tagset_no, tags::text as text from books.tagset where tagset_no in (select tagset_no from m)),
  moves as (
    select o.txn_no, string_agg(o.text, ',') as text from (
      select m.txn_no, concat('[', m.action_no, case m.type when 'i' then ',"issue","' when 't' then ',"transfer","' else ',"retire","' end,
        s.flavor_id, '",', m.amount, ',', s.text, ',', d.text, ',', coalesce(g.text, '{}'), ']') as text
      from m join l s on s.lot_no = m.src join l d on d.lot_no = m.dst left join g on g.tagset_no = m.tagset_no order by m.txn_no, m.seq) o group by o.txn_no),
  holds as (
    select h.txn_no, string_agg(concat('[', h.action_no, ',"', h.type, '","', o.hold_id, '",', coalesce(to_json(o.expires_at at time zone 'UTC')::text, 'null'),
      ',"', l.account_id, '","', l.flavor_id, '",', l.tags, ',', h.amount, ']'), ',' order by h.seq) as text
    from h join books.hold o using (hold_no) join l using (lot_no) group by h.txn_no),
  reversals as (
    select r.txn_no, string_agg(concat('[', r.action_no, ',"', o.txn_id, '",', r.part_no, ',', case when r.numerator is null then 'null'
      else concat('[', r.numerator, ',', r.denominator, ']') end, ',[',
      (select string_agg(concat('[', v.seq, ',', v.of_seq, ',', v.amount, ']'), ',' order by v.seq) from books.reversed_move v join books.move w using (txn_no, seq)
       where v.txn_no = r.txn_no and v.of_txn_no = r.of_txn_no and w.action_no = r.action_no), ']]'), ',' order by r.action_no) as text
    from books.reversal r join books.txn o on o.txn_no = r.of_txn_no where r.txn_no in (select n.entry from n) group by r.txn_no),
  owed as (
    select c.txn_no, string_agg(concat('[', c.action_no, ',"', o.flavor_id, '","', f.flavor_id, '","', a.account_id, '","', c.change, '"]'), ','
      order by c.action_no, o.flavor_id collate "C", f.flavor_id collate "C", a.account_id collate "C") as text
    from books.owed_change c join books.flavor o on o.flavor_no = c.over_flavor_no join books.flavor f on f.flavor_no = c.flavor_no
    join books.account a using (account_no) where c.txn_no in (select n.entry from n) group by c.txn_no),
  asked as (
    select k.txn_no, string_agg(concat('[', k.action_no, ',', k.document, ']'), ',' order by k.action_no) as text
    from books.asked k where k.txn_no in (select n.entry from n) group by k.txn_no)
  select x.txn_no, x.xid, concat('{"entry":"transaction","txn_id":"', x.txn_id, '","kind":', to_json(x.kind), ',"digest":"', encode(x.digest, 'hex'),
    '","effective_at":', to_json(x.effective_at at time zone 'UTC'), ',"recorded_at":', to_json(x.recorded_at at time zone 'UTC'),
    ',"correlation_id":', to_json(x.correlation_id), ',"tags":', x.tags, ',"moves":[', moves.text, '],"holds":[', holds.text, '],"asked":[', asked.text,
    '],"reversals":[', reversals.text, '],"owed":[', owed.text, ']}')
  from books.txn x left join moves using (txn_no) left join holds using (txn_no) left join asked using (txn_no) left join reversals using (txn_no)
  left join owed using (txn_no) where x.txn_no = any(p_numbers)
  union all
  select t.since_no, t.xid, concat('{"entry":"flavor","flavor_id":"', f.flavor_id, '","keys":', to_json(f.key_ids),
    ',"quorum":', coalesce(f.quorum::text, 'null'), ',"tags":', t.tags, '}')
  from books.tags_told t join books.flavor f on f.flavor_no = t.no where t.what = 'f' and t.since_no between v_first and v_last and t.since_no in (select n.entry from n)
  union all
  select t.since_no, t.xid, concat('{"entry":"account","account_id":"', a.account_id, '","floor":', coalesce(a.floor::text, 'null'),
    ',"hot":', case when a.hot then 'true' else 'false' end, ',"keys":', to_json(a.key_ids), ',"quorum":', coalesce(a.quorum::text, 'null'), ',"tags":', t.tags, '}')
  from books.tags_told t join books.account a on a.account_no = t.no where t.what = 'a' and t.since_no between v_first and v_last and t.since_no in (select n.entry from n)
  union all
  select t.told_no, t.xid, concat('{"entry":"closed","account_id":"', a.account_id, '"}')
  from books.told t join books.account a on a.account_no = t.no where t.what = 'c' and t.told_no between v_first and v_last
    and t.told_no in (select n.entry from n)
  union all
  select t.told_no, t.xid, concat('{"entry":"floor","account_id":"', a.account_id, '","flavor_id":"', f.flavor_id, '","floor":', t.floor, '}')
  from books.told t join books.lot x on x.lot_no = t.no join books.account a using (account_no) join books.flavor f using (flavor_no)
  where t.what = 'f' and t.told_no between v_first and v_last
    and t.told_no in (select n.entry from n);
end $$;

-- As before (0058_all_in_the_chain.sql): of what is told seldom it is only asked whether there is any between the first entry and the last.
create or replace function books.lines(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language plpgsql stable as $$
declare
  v_first bigint := (select min(a) from unnest(p_numbers) a);
  v_last bigint := (select max(a) from unnest(p_numbers) a);
begin
  return query select * from books.lines_of_moves(p_numbers);
  if exists (select from books.key k where k.entry_no between v_first and v_last)
    or exists (select from books.key_revocation r where r.entry_no between v_first and v_last)
    or exists (select from books.default_quorum d where d.entry_no between v_first and v_last) then
    return query select * from books.key_lines(p_numbers);
  end if;
  if exists (select from books.template t where t.entry_no between v_first and v_last) then
    return query select * from books.template_lines(p_numbers);
  end if;
  if exists (select from books.refusal r where r.entry_no between v_first and v_last) then
    return query select * from books.refusal_lines(p_numbers);
  end if;
  if v_last >= 1::bigint << 62 then
    return query select * from books.signature_lines(p_numbers);
  end if;
end $$;

-- As before (0053_chain.sql), but for how far it looks.
create or replace function books.seal(p_tenant text, p_max int) returns table (block_no bigint, entries int, hash bytea) language plpgsql
set plan_cache_mode = force_custom_plan as $$
declare
  v_head books.chain;
  v_until bigint;
  v_bound bigint;
  v_width bigint := 8;
  v_last bigint;
  v_numbers bigint[];
  v_hashes bytea;
begin
  perform set_config('app.tenant', p_tenant, true);
  select * into v_head from books.chain c where c.tenant_id = p_tenant for update;
  v_until := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  -- Looked for in steps, so that what is far behind is not read whole for each block; what was found tells how far the rest may reach.
  v_bound := v_head.until_xid;
  loop
    v_bound := least(v_bound + v_width, v_until);
    select array_agg(e.no order by e.xid, e.no), max(e.xid) into v_numbers, v_last from (
      select n.no, n.xid from books.entry n
      where n.tenant_id = p_tenant and n.xid >= v_head.until_xid and n.xid < v_bound order by n.xid, n.no limit p_max) e;
    exit when v_bound >= v_until or v_bound is null or cardinality(v_numbers) >= p_max;
    v_width := case when v_numbers is null then v_width * 4
      else ceil(1.2 * (v_bound - v_head.until_xid) * (p_max - cardinality(v_numbers)) / cardinality(v_numbers))::bigint + 1 end;
  end loop;
  if v_head.tenant_id is null or v_numbers is null then
    -- So that who has had nothing to seal for long does not read what the others did meanwhile again and again.
    update books.chain c set until_xid = v_until where c.tenant_id = p_tenant and v_until > v_head.until_xid + 1000;
    return;
  end if;
  if cardinality(v_numbers) = p_max then
    v_until := v_last + 1;
    select v_numbers || coalesce(array_agg(n.no order by n.no), '{}') into v_numbers
    from books.entry n where n.tenant_id = p_tenant and n.xid = v_last and n.no > v_numbers[p_max];
  end if;
  select string_agg(sha256(convert_to(e.line, 'UTF8')), '' order by e.xid, e.no) into v_hashes from books.lines(v_numbers) e;
  return query select v_head.block_no + 1, cardinality(v_numbers), books.add_block(p_tenant, v_until, v_numbers, v_hashes);
end $$;

-- Takes note of which transactions lie where, which is how a sealing finds those that came since the last. Else only a vacuum does, or one of the few
-- requests that wait for one, and until then every sealing reads all that came since. Where a vacuum is at it, it is left to it.
create function books.note_new_transactions() returns void language plpgsql security definer set search_path = pg_catalog set lock_timeout = '100ms' as $$
begin
  perform brin_summarize_new_values('books.txn_as_it_came'::regclass);
exception when lock_not_available then
  null;
end $$;
revoke execute on function books.note_new_transactions from public;
grant execute on function books.note_new_transactions to bourse_app;
