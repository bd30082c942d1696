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

-- A time as the journal writes it.
create function books.time_text(p_at timestamptz) returns text language sql stable parallel safe
  return to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- The journal, a line for each entry, in names and nothing that is this store's own. bourse/ledger/journal.py writes the same octets.
-- Names of accounts, flavors, transactions and holds have no letter that JSON escapes.
create view books.entry with (security_invoker = true) as
select x.tenant_id, x.txn_no as no, x.xid, concat(
    '{"entry":"transaction","txn_id":"', x.txn_id, '","kind":', to_json(x.kind), ',"digest":"', encode(x.digest, 'hex'),
    '","effective_at":"', books.time_text(x.effective_at), '","recorded_at":"', books.time_text(x.recorded_at),
    '","correlation_id":', to_json(x.correlation_id), ',"tags":', x.tags, ',"moves":[',
    (select string_agg(concat('[', m.action_no, case m.type when 'i' then ',"issue","' when 't' then ',"transfer","' else ',"retire","' end, f.flavor_id, '",', m.amount, ',"', sa.account_id, '",', coalesce(st.tags, '{}'),
        ',"', da.account_id, '",', coalesce(dt.tags, '{}'), ',', coalesce(g.tags, '{}'), ']'), ',' order by m.seq)
      from books.move m join books.lot s on s.lot_no = m.src join books.lot d on d.lot_no = m.dst
      join books.account sa on sa.account_no = s.account_no join books.account da on da.account_no = d.account_no
      join books.flavor f on f.flavor_no = s.flavor_no left join books.tagset st on st.tagset_no = s.tagset_no
      left join books.tagset dt on dt.tagset_no = d.tagset_no left join books.tagset g on g.tagset_no = m.tagset_no
      where m.txn_no = x.txn_no),
    '],"holds":[',
    (select string_agg(concat('[', m.action_no, ',"', m.type, '","', h.hold_id, '",', coalesce('"' || books.time_text(h.expires_at) || '"', 'null'),
        ',"', a.account_id, '","', f.flavor_id, '",', coalesce(t.tags, '{}'), ',', m.amount, ']'), ',' order by m.seq)
      from books.hold_move m join books.hold h using (hold_no) join books.lot l using (lot_no) join books.account a on a.account_no = l.account_no
      join books.flavor f on f.flavor_no = l.flavor_no left join books.tagset t on t.tagset_no = l.tagset_no where m.txn_no = x.txn_no),
    '],"asked":[',
    (select string_agg(concat('[', k.action_no, ',', k.document, ']'), ',' order by k.action_no) from books.asked k where k.txn_no = x.txn_no),
    ']}') as line
from books.txn x
union all
select t.tenant_id, t.since_no, t.xid, case t.what
    when 'f' then concat('{"entry":"flavor","flavor_id":"', (select f.flavor_id from books.flavor f where f.flavor_no = t.no), '","tags":', t.tags, '}')
    else (select concat('{"entry":"account","account_id":"', a.account_id, '","floor":', coalesce(a.floor::text, 'null'), ',"hot":',
        case when a.hot then 'true' else 'false' end, ',"tags":', t.tags, '}') from books.account a where a.account_no = t.no) end
from books.tags_told t
union all
select o.tenant_id, o.told_no, o.xid, case o.what
    when 'c' then concat('{"entry":"closed","account_id":"', (select a.account_id from books.account a where a.account_no = o.no), '"}')
    else (select concat('{"entry":"floor","account_id":"', a.account_id, '","flavor_id":"', f.flavor_id, '","floor":', o.floor, '}')
      from books.lot l join books.account a using (account_no) join books.flavor f using (flavor_no) where l.lot_no = o.no) end
from books.told o;
grant select on books.entry to bourse_app;

-- Seal the next entries of a tenant, about `p_max` of them: those one transaction of the database wrote stay together. Returns the new
-- block, or no row when there is nothing to seal yet.
create function books.seal(p_tenant text, p_max int) returns table (block_no bigint, entries int, hash bytea) language plpgsql
set plan_cache_mode = force_custom_plan as $$
declare
  v_head books.chain;
  v_until bigint;
  v_count int;
  v_last bigint;
  v_numbers bigint[];
  v_hashes bytea;
begin
  perform set_config('app.tenant', p_tenant, true);
  select * into v_head from books.chain c where c.tenant_id = p_tenant for update;
  v_until := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  select count(*), max(e.xid) into v_count, v_last from (
    select n.xid from books.entry n where n.tenant_id = p_tenant and n.xid >= v_head.until_xid and n.xid < v_until order by n.xid limit p_max) e;
  if v_head.tenant_id is null or v_count = 0 then
    -- So that who has had nothing to seal for long does not read what the others did meanwhile again and again.
    update books.chain c set until_xid = v_until where c.tenant_id = p_tenant and v_until > v_head.until_xid + 1000;
    return;
  end if;
  if v_count = p_max then
    v_until := v_last + 1;
  end if;
  select array_agg(e.no order by e.xid, e.no), string_agg(sha256(convert_to(e.line, 'UTF8')), '' order by e.xid, e.no) into v_numbers, v_hashes
  from books.entry e where e.tenant_id = p_tenant and e.xid >= v_head.until_xid and e.xid < v_until;
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
