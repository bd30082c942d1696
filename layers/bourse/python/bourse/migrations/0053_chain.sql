-- The chain: what was written to the journal of the books, hashed in blocks that each carry the hash of the one before. Blocks are sealed
-- by the clock, after the fact, so a posting pays nothing for them.
--
-- The journal is transactions (with moves, what they did to holds, and filters as asked), tags as they were told, and what else is decided
-- once and never derived: the floor an issue set, an account's closing. Its order is (xid, no): all of it below an xid is settled once no
-- running transaction is older, so a block ends at such an xid and nothing can come into it later. `no` is drawn from one sequence for all.

alter table books.tags_told add column xid bigint not null default pg_current_xact_id()::text::bigint;
create unique index tags_told_by_number on books.tags_told (since_no);
create index tags_told_by_xid on books.tags_told (xid);
-- What is not summarised is read whole at every sealing.
alter index books.txn_as_it_came set (autosummarize = on);

create table books.told (
  told_no bigint primary key default nextval('books.txn_no'),
  tenant_id text not null,
  xid bigint not null default pg_current_xact_id()::text::bigint,
  what "char" not null check (what in ('f', 'c')),
  no bigint not null,
  floor bigint check ((floor is null) = (what = 'c'))
);
create index told_by_xid on books.told (xid);
comment on column books.told.what is 'f: the floor of the lot `no`, c: the closing of the account `no`';

-- The end of a tenant's chain: its last block, and the xid below which all is sealed. One row for each tenant that has a flavor; a sealer
-- holds it while it seals, so there is one at a time.
create table books.chain (
  tenant_id text primary key,
  block_no bigint not null default 0,
  until_xid bigint not null default 0,
  hash bytea not null default decode(repeat('00', 32), 'hex')
);

-- `hashes` are the SHA-256 of the lines of the entries `numbers`, one after the other; `hash` is that of previous, block_no (8 octets, the
-- highest first) and hashes. No number of this store goes into it, so a chain verifies wherever it is carried.
create table books.block (
  tenant_id text not null,
  block_no bigint not null check (block_no > 0),
  until_xid bigint not null,
  numbers bigint[] not null,
  hashes bytea not null,
  previous bytea not null check (length(previous) = 32),
  hash bytea not null check (length(hash) = 32),
  sealed_at timestamptz not null default now(),
  primary key (tenant_id, block_no),
  check (cardinality(numbers) > 0 and length(hashes) = 32 * cardinality(numbers))
);
alter table books.block alter column hashes set storage external;

select foundation.isolate_tenants(t::regclass) from unnest(array['books.told', 'books.chain', 'books.block']) t;
select foundation.append_only(t::regclass) from unnest(array['books.told', 'books.block']) t;
-- Who seals for all goes by the list of those who have books, and sees nothing else of them.
create policy sealer on books.chain for select using ((select foundation.tenant()) = '*');
grant select, insert on books.told, books.chain, books.block to bourse_app;
grant update on books.chain to bourse_app;

create function books.begin_chain() returns trigger language plpgsql as $$
begin
  insert into books.chain (tenant_id) values (new.tenant_id) on conflict do nothing;
  return null;
end $$;
create trigger begin_chain after insert on books.flavor for each row execute function books.begin_chain();

-- A floor that is not its account's was set by an issue. An import tells by itself what was told, in its order.
create function books.tell_floor() returns trigger language plpgsql as $$
begin
  if coalesce(current_setting('books.importing', true), '') <> 'on' and (tg_op = 'UPDATE'
      or exists (select from books.account a where a.account_no = new.account_no and a.floor is distinct from new.floor)) then
    insert into books.told (tenant_id, what, no, floor) values (new.tenant_id, 'f', new.lot_no, new.floor);
  end if;
  return null;
end $$;
create trigger tell_floor after insert on books.lot for each row when (new.floor < 0) execute function books.tell_floor();
create trigger tell_new_floor after update of floor on books.lot for each row
  when (new.floor is not null and new.floor is distinct from old.floor) execute function books.tell_floor();

-- What the journal has, in the order (xid, no).
create view books.entry with (security_invoker = true) as
select tenant_id, txn_no as no, xid from books.txn
union all select tenant_id, since_no, xid from books.tags_told
union all select tenant_id, told_no, xid from books.told;
grant select on books.entry to bourse_app;

-- The lines of these entries (with the keys of 0054_keys.sql), in names and nothing that is this store's own. bourse/ledger/journal.py writes the same octets. Names of
-- accounts, flavors, transactions and holds have no letter that JSON escapes; times are UTC. What every lot is called is put together once
-- for all its moves.
create function books.lines(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language plpgsql stable
set plan_cache_mode = force_custom_plan as $$
begin
  return query
  with m as materialized (select * from books.move where txn_no = any(p_numbers)),
  h as materialized (select * from books.hold_move where txn_no = any(p_numbers)),
  l as materialized (
    select x.lot_no, f.flavor_id, concat('"', a.account_id, '",', coalesce(t.tags, '{}')) as text, a.account_id, coalesce(t.tags, '{}') as tags
    from books.lot x join books.account a using (account_no) join books.flavor f using (flavor_no) left join books.tagset t using (tagset_no)
    where x.lot_no in (select src from m union select dst from m union select lot_no from h)),
  g as materialized (select tagset_no, tags::text as text from books.tagset where tagset_no in (select tagset_no from m)),
  moves as (
    select m.txn_no, string_agg(concat('[', m.action_no, case m.type when 'i' then ',"issue","' when 't' then ',"transfer","' else ',"retire","' end,
      s.flavor_id, '",', m.amount, ',', s.text, ',', d.text, ',', coalesce(g.text, '{}'), ']'), ',' order by m.seq) as text
    from m join l s on s.lot_no = m.src join l d on d.lot_no = m.dst left join g on g.tagset_no = m.tagset_no group by m.txn_no),
  holds as (
    select h.txn_no, string_agg(concat('[', h.action_no, ',"', h.type, '","', o.hold_id, '",', coalesce(to_json(o.expires_at at time zone 'UTC')::text, 'null'),
      ',"', l.account_id, '","', l.flavor_id, '",', l.tags, ',', h.amount, ']'), ',' order by h.seq) as text
    from h join books.hold o using (hold_no) join l using (lot_no) group by h.txn_no),
  reversals as (
    select r.txn_no, string_agg(concat('[', r.action_no, ',"', o.txn_id, '",', r.part_no, ',', case when r.numerator is null then 'null'
      else concat('[', r.numerator, ',', r.denominator, ']') end, ',[',
      (select string_agg(concat('[', v.seq, ',', v.of_seq, ',', v.amount, ']'), ',' order by v.seq) from books.reversed_move v join books.move w using (txn_no, seq)
       where v.txn_no = r.txn_no and v.of_txn_no = r.of_txn_no and w.action_no = r.action_no), ']]'), ',' order by r.action_no) as text
    from books.reversal r join books.txn o on o.txn_no = r.of_txn_no where r.txn_no = any(p_numbers) group by r.txn_no),
  owed as (
    select c.txn_no, string_agg(concat('[', c.action_no, ',"', o.flavor_id, '","', f.flavor_id, '","', a.account_id, '","', c.change, '"]'), ','
      order by c.action_no, o.flavor_id collate "C", f.flavor_id collate "C", a.account_id collate "C") as text
    from books.owed_change c join books.flavor o on o.flavor_no = c.over_flavor_no join books.flavor f on f.flavor_no = c.flavor_no
    join books.account a using (account_no) where c.txn_no = any(p_numbers) group by c.txn_no),
  asked as (
    select k.txn_no, string_agg(concat('[', k.action_no, ',', k.document, ']'), ',' order by k.action_no) as text
    from books.asked k where k.txn_no = any(p_numbers) group by k.txn_no)
  select x.txn_no, x.xid, concat('{"entry":"transaction","txn_id":"', x.txn_id, '","kind":', to_json(x.kind), ',"digest":"', encode(x.digest, 'hex'),
    '","effective_at":', to_json(x.effective_at at time zone 'UTC'), ',"recorded_at":', to_json(x.recorded_at at time zone 'UTC'),
    ',"correlation_id":', to_json(x.correlation_id), ',"tags":', x.tags, ',"moves":[', moves.text, '],"holds":[', holds.text, '],"asked":[', asked.text,
    '],"reversals":[', reversals.text, '],"owed":[', owed.text, ']}')
  from books.txn x left join moves using (txn_no) left join holds using (txn_no) left join asked using (txn_no) left join reversals using (txn_no)
  left join owed using (txn_no) where x.txn_no = any(p_numbers)
  union all
  select t.since_no, t.xid, concat('{"entry":"flavor","flavor_id":"', f.flavor_id, '","keys":', to_json(f.key_ids),
    ',"quorum":', coalesce(f.quorum::text, 'null'), ',"tags":', t.tags, '}')
  from books.tags_told t join books.flavor f on f.flavor_no = t.no where t.what = 'f' and t.since_no = any(p_numbers)
  union all
  select t.since_no, t.xid, concat('{"entry":"account","account_id":"', a.account_id, '","floor":', coalesce(a.floor::text, 'null'),
    ',"hot":', case when a.hot then 'true' else 'false' end, ',"keys":', to_json(a.key_ids), ',"quorum":', coalesce(a.quorum::text, 'null'), ',"tags":', t.tags, '}')
  from books.tags_told t join books.account a on a.account_no = t.no where t.what = 'a' and t.since_no = any(p_numbers)
  union all
  select t.told_no, t.xid, concat('{"entry":"closed","account_id":"', a.account_id, '"}')
  from books.told t join books.account a on a.account_no = t.no where t.what = 'c' and t.told_no = any(p_numbers)
  union all
  select t.told_no, t.xid, concat('{"entry":"floor","account_id":"', a.account_id, '","flavor_id":"', f.flavor_id, '","floor":', t.floor, '}')
  from books.told t join books.lot x on x.lot_no = t.no join books.account a using (account_no) join books.flavor f using (flavor_no)
  where t.what = 'f' and t.told_no = any(p_numbers);
end $$;

-- Seal the next entries of a tenant, about `p_max` of them: those one transaction of the database wrote stay together. Returns the new
-- block, or no row when there is nothing to seal yet.
create function books.seal(p_tenant text, p_max int) returns table (block_no bigint, entries int, hash bytea) language plpgsql
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
  -- Looked for in steps, so that what is far behind is not read whole for each block.
  v_bound := v_head.until_xid;
  loop
    v_bound := least(v_bound + v_width, v_until);
    select array_agg(e.no order by e.xid, e.no), max(e.xid) into v_numbers, v_last from (
      select n.no, n.xid from books.entry n
      where n.tenant_id = p_tenant and n.xid >= v_head.until_xid and n.xid < v_bound order by n.xid, n.no limit p_max) e;
    exit when v_bound >= v_until or v_bound is null or cardinality(v_numbers) >= p_max;
    v_width := v_width * 4;
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

-- Add a block to a tenant's chain and return its hash. The caller holds the row of the chain.
create function books.add_block(p_tenant text, p_until bigint, p_numbers bigint[], p_hashes bytea) returns bytea language plpgsql as $$
declare
  v_head books.chain;
  v_hash bytea;
begin
  select * into v_head from books.chain c where c.tenant_id = p_tenant;
  v_hash := sha256(v_head.hash || int8send(v_head.block_no + 1) || p_hashes);
  insert into books.block (tenant_id, block_no, until_xid, numbers, hashes, previous, hash)
  values (p_tenant, v_head.block_no + 1, p_until, p_numbers, p_hashes, v_head.hash, v_hash);
  update books.chain c set block_no = c.block_no + 1, until_xid = p_until, hash = v_hash where c.tenant_id = p_tenant;
  return v_hash;
end $$;
