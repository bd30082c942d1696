-- Long histories of the books are summed up by stretches of time, so that what is posted at an earlier time is checked at every later
-- instant by reading a few hundred rows, however many moves came later.

-- Moves of the lot before this time are in its stretches. A posting at or after it costs nothing more.
alter table books.lot add column summed_until timestamptz not null default '-infinity';

-- What the moves of a lot with begins_at <= effective time < ends_at did to its amount: `net` in all, `low` the lowest it stood at one of
-- their instants, counted from its beginning, `low_at` the first instant it stood there. Level 1 sums up moves, level 2 stretches of level 1, each
-- from -infinity to summed_until without a gap. `parts`: how many moves or stretches; `single`: they are all at the instant low_at.
create table books.stretch (
  lot_no bigint not null,
  level smallint not null check (level in (1, 2)),
  begins_at timestamptz not null,
  ends_at timestamptz not null check (begins_at < ends_at),
  net numeric not null,
  low numeric not null,
  low_at timestamptz not null,
  parts int not null,
  single boolean not null default false,
  tenant_id text not null,
  primary key (lot_no, level, begins_at)
) with (fillfactor = 60);
select foundation.isolate_tenants('books.stretch');
grant select, insert, update, delete on books.stretch to bourse_app;

-- What follows is in plpgsql also where it is one query: its plan is kept, and to make one takes longer than to read a few hundred rows. The plan
-- is the same for any times, by the keys.

-- About how many moves or stretches a stretch sums up; one that grew to four times as many is cut again.
create function books.stretch_size() returns int language sql immutable as 'select 64';

-- The changes of a lot in [p_from, p_until), by instant, with the number of moves.
create function books.changes(p_lot bigint, p_from timestamptz, p_until timestamptz, out at timestamptz, out change numeric, out moves bigint)
returns setof record language sql stable as $$
  select m.at, sum(m.change), count(*) from (
    select effective_at as at, -amount as change from books.move where src = p_lot and effective_at >= p_from and effective_at < p_until
    union all select effective_at, amount from books.move where dst = p_lot and effective_at >= p_from and effective_at < p_until) m
  group by m.at
$$;

-- Make the stretches of level 1 for [p_from, p_until) anew out of its moves, of which there are some: each of about p_size moves. An instant
-- with that many has a stretch of its own, to which more of the same instant can be added without reading it.
create function books.cut_moves(p_tenant text, p_lot bigint, p_from timestamptz, p_until timestamptz, p_size int)
returns void language plpgsql as $$
begin
  delete from books.stretch where lot_no = p_lot and level = 1 and begins_at >= p_from and begins_at < p_until;
  insert into books.stretch (tenant_id, lot_no, level, begins_at, ends_at, net, low, low_at, parts, single)
  select p_tenant, p_lot, 1, case when s.begins = min(s.begins) over () then p_from else s.begins end,
    lead(s.begins, 1, p_until) over (order by s.begins), s.net, s.low, s.low_at, s.moves, s.instants = 1
  from (
    select min(at) as begins, sum(change) as net, min(stood) as low, (array_agg(at order by stood, at))[1] as low_at, sum(moves) as moves, count(*) as instants
    from (
      select at, change, moves, bucket, heavy, sum(change) over (partition by bucket, heavy order by at) as stood
      from (
        select at, change, moves, (sum(moves) over until_now - moves)::bigint / p_size as bucket,
          count(*) filter (where moves >= p_size) over until_now + count(*) filter (where moves >= p_size) over before_now as heavy
        from books.changes(p_lot, p_from, p_until)
        window until_now as (order by at), before_now as (order by at rows between unbounded preceding and 1 preceding)) counted) stood
    group by bucket, heavy) s;
end $$;

-- Make the stretches of level 2 for [p_from, p_until) anew out of those of level 1.
create function books.cut_stretches(p_tenant text, p_lot bigint, p_from timestamptz, p_until timestamptz, p_size int)
returns void language plpgsql as $$
begin
  delete from books.stretch where lot_no = p_lot and level = 2 and begins_at >= p_from and begins_at < p_until;
  insert into books.stretch (tenant_id, lot_no, level, begins_at, ends_at, net, low, low_at, parts)
  select p_tenant, p_lot, 2, min(begins_at), max(ends_at), sum(net), min(stood), (array_agg(low_at order by stood, begins_at))[1], count(*)
  from (select *, sum(net) over (partition by bucket order by begins_at) - net + low as stood
        from (select *, (row_number() over (order by begins_at) - 1) / p_size as bucket from books.stretch
              where lot_no = p_lot and level = 1 and begins_at >= p_from and begins_at < p_until) numbered) summed
  group by bucket;
end $$;

-- Add up one stretch anew, which begins and ends where it did.
create function books.add_up_moves(p_lot bigint, p_from timestamptz, p_until timestamptz) returns void language plpgsql as $$
begin
  update books.stretch x set net = s.net, low = s.low, low_at = s.low_at, parts = s.moves, single = s.instants = 1
  from (select sum(change) as net, min(stood) as low, (array_agg(at order by stood, at))[1] as low_at, sum(moves)::int as moves, count(*) as instants
        from (select at, change, moves, sum(change) over (order by at) as stood from books.changes(p_lot, p_from, p_until)) c) s
  where x.lot_no = p_lot and x.level = 1 and x.begins_at = p_from;
end $$;
create function books.add_up_stretches(p_lot bigint, p_from timestamptz, p_until timestamptz) returns void language plpgsql as $$
begin
  update books.stretch x set net = s.net, low = s.low, low_at = s.low_at, parts = s.parts
  from (select sum(net) as net, min(stood) as low, (array_agg(low_at order by stood, begins_at))[1] as low_at, count(*)::int as parts
        from (select net, low_at, begins_at, sum(net) over (order by begins_at) - net + low as stood from books.stretch
              where lot_no = p_lot and level = 1 and begins_at >= p_from and begins_at < p_until) c) s
  where x.lot_no = p_lot and x.level = 2 and x.begins_at = p_from;
end $$;

-- Until when a lot may be summed up: the instant of a move near its latest. What comes later is left as it is, because postings
-- whose times are a little out of order are common, and need not touch a stretch. Null for a lot with few moves.
create function books.may_be_summed_until(p_lot bigint) returns timestamptz language plpgsql stable as $$
begin
  return (select at from (
    (select effective_at as at from books.move where src = p_lot order by effective_at desc limit 2 * books.stretch_size())
    union all (select effective_at from books.move where dst = p_lot order by effective_at desc limit 2 * books.stretch_size())) latest
  order by at desc offset 2 * books.stretch_size() - 1 limit 1);
end $$;

-- Sum up the next moves of a lot, about p_moves of them: one bounded step, alone in its transaction, under the lock of this lot and
-- no other. True when something was summed up, so there may be more; false when there was nothing to do.
create function books.sum_up(p_tenant text, p_lot bigint, p_moves int) returns boolean language plpgsql
set enable_seqscan = off as $$
declare
  v_from timestamptz;
  v_until timestamptz;
  v_step timestamptz;
begin
  perform set_config('app.tenant', p_tenant, true);
  select summed_until into v_from from books.lot where lot_no = p_lot for no key update;
  v_until := books.may_be_summed_until(p_lot);
  if v_from is null or v_until is null or v_until <= v_from then
    return false;
  end if;
  select at into v_step from (
    (select effective_at as at from books.move where src = p_lot and effective_at >= v_from order by effective_at limit p_moves + 1)
    union all (select effective_at from books.move where dst = p_lot and effective_at >= v_from order by effective_at limit p_moves + 1)) following
  order by at offset p_moves limit 1;
  if not exists (select from books.changes(p_lot, v_from, v_step)) then
    select min(at) into v_step from (
      select min(effective_at) as at from books.move where src = p_lot and effective_at > v_step
      union all select min(effective_at) from books.move where dst = p_lot and effective_at > v_step) later;
  end if;
  v_step := least(v_step, v_until);
  if not exists (select from books.changes(p_lot, v_from, v_step)) then
    return false;
  end if;
  perform books.cut_moves(p_tenant, p_lot, v_from, v_step, books.stretch_size());
  perform books.cut_stretches(p_tenant, p_lot,
    coalesce((select max(begins_at) from books.stretch where lot_no = p_lot and level = 2), '-infinity'), v_step, books.stretch_size());
  update books.lot set summed_until = v_step where lot_no = p_lot;
  return true;
end $$;

-- Raises BK006 with the lot's number when there are more moves since p_since than one likes to read one by one, and some
-- could be summed up. Not where `app.patient` is on: then summing up was tried, and what is long is the history this very transaction makes.
create function books.expect_summed(p_lot bigint, p_since timestamptz) returns void language plpgsql stable
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_summed timestamptz := (select summed_until from books.lot where lot_no = p_lot);
  v_many int := 4 * books.stretch_size();
begin
  if coalesce(current_setting('app.patient', true), '') <> 'on'
    and (exists (select from books.move where src = p_lot and effective_at >= greatest(p_since, v_summed) offset v_many)
      or exists (select from books.move where dst = p_lot and effective_at >= greatest(p_since, v_summed) offset v_many))
    and books.may_be_summed_until(p_lot) > v_summed
    and (exists (select from books.move where src = p_lot and effective_at >= v_summed and effective_at < books.may_be_summed_until(p_lot))
      or exists (select from books.move where dst = p_lot and effective_at >= v_summed and effective_at < books.may_be_summed_until(p_lot))) then
    raise exception 'a long history is not summed up' using errcode = 'BK006', detail = p_lot;
  end if;
end $$;

-- How low a lot stood at the instants in [p_since, p_until), in parts from p_since on: each with the lowest amount at one of its instants, the first
-- such instant, and where it ends; that is null for a single instant. At p_since a lot stands at what happened until then. All of it is seen in
-- one snapshot, that of the statement which asks. Adds up from the lot's amount backwards, so nothing before p_since is read. A stretch
-- that one of the two times cuts is read in its parts.
create function books.stood(
  p_lot bigint, p_since timestamptz, p_until timestamptz, out at timestamptz, out ends_at timestamptz, out total numeric, out low_at timestamptz
) returns setof record language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_lot record;
  v_first books.stretch;  -- the one of level 1 that p_since cuts, and the end of that of level 2
  v_first_end timestamptz;
  v_last books.stretch;  -- those that p_until cuts
  v_outer books.stretch;
begin
  select amount, summed_until into v_lot from books.lot where lot_no = p_lot;
  if p_since < v_lot.summed_until then
    select * into v_first from books.stretch where lot_no = p_lot and level = 1 and begins_at <= p_since order by begins_at desc limit 1;
    select s.ends_at into v_first_end from books.stretch s where lot_no = p_lot and level = 2 and begins_at <= p_since order by begins_at desc limit 1;
  end if;
  if p_until < v_lot.summed_until then
    select * into v_last from books.stretch where lot_no = p_lot and level = 1 and begins_at < p_until and begins_at > p_since order by begins_at desc limit 1;
    select * into v_outer from books.stretch where lot_no = p_lot and level = 2 and begins_at < p_until and begins_at > p_since order by begins_at desc limit 1;
  end if;
  return query
  with part as (
    select s.begins_at as at, s.ends_at, s.net, s.low, s.low_at from books.stretch s
    where lot_no = p_lot and level = 2 and begins_at > p_since and begins_at is distinct from v_outer.begins_at
    union all
    select s.begins_at, s.ends_at, s.net, s.low, s.low_at from books.stretch s
    where lot_no = p_lot and level = 1 and begins_at > p_since and begins_at < v_first_end and begins_at is distinct from v_last.begins_at
    union all
    select s.begins_at, s.ends_at, s.net, s.low, s.low_at from books.stretch s
    where lot_no = p_lot and level = 1 and begins_at >= v_outer.begins_at and begins_at < v_outer.ends_at and begins_at is distinct from v_last.begins_at
    union all
    select c.at, null, sum(c.change), sum(c.change), c.at from (
      select p_since as at, 0 as change
      union all select x.at, x.change from books.changes(p_lot, p_since, v_first.ends_at) x
      union all select x.at, x.change from books.changes(p_lot, v_last.begins_at, v_last.ends_at) x
      union all select x.at, x.change from books.changes(p_lot, greatest(p_since, v_lot.summed_until), 'infinity') x) c
    group by c.at)
  select q.at, q.ends_at, q.total, q.low_at from (
    select p.at, p.ends_at, v_lot.amount - sum(p.net) over () + sum(p.net) over (order by p.at) - p.net + p.low as total, p.low_at from part p) q
  where q.at < p_until;
end $$;

-- The lowest amount of a lot at the instants in [p_since, p_until), and the first instant it stood there.
create function books.lowest(p_lot bigint, p_since timestamptz, p_until timestamptz, out total numeric, out at timestamptz) language plpgsql stable as $$
begin
  select s.total, s.low_at into total, at from books.stood(p_lot, p_since, p_until) s order by s.total, s.low_at limit 1;
end $$;

-- The first of those instants at which it stood below p_amount: in the first part that did, which is then read in its own parts.
create function books.first_below(p_lot bigint, p_since timestamptz, p_until timestamptz, p_amount numeric) returns timestamptz language plpgsql stable as $$
declare
  v_part record;
begin
  select * into v_part from books.stood(p_lot, p_since, p_until) s where s.total < p_amount order by s.at limit 1;
  if v_part.ends_at is null then
    return v_part.at;
  end if;
  return books.first_below(p_lot, v_part.at, least(v_part.ends_at, p_until), p_amount);
end $$;

-- Whether a lot that moved at p_since stood at p_least or more from then on. Nearly always it stood so also at all instants of the stretches of
-- level 2, whole, and then no part of them is read.
create function books.stands_later(p_lot bigint, p_since timestamptz, p_least numeric) returns boolean language plpgsql stable
set plan_cache_mode = force_generic_plan as $$
declare
  v_lot record;
  v_from timestamptz;
begin
  select amount, summed_until into v_lot from books.lot where lot_no = p_lot;
  select begins_at into v_from from books.stretch where lot_no = p_lot and level = 2 and begins_at <= p_since order by begins_at desc limit 1;
  if p_since < v_lot.summed_until and (
    select v_lot.amount - sum(stood.net) + min(stood.total) from (
      select p.net, sum(p.net) over (order by p.at) - p.net + p.low as total from (
        select begins_at as at, net, low from books.stretch where lot_no = p_lot and level = 2 and begins_at >= v_from
        union all select c.at, c.change, c.change from books.changes(p_lot, v_lot.summed_until, 'infinity') c) p) stood) >= p_least then
    return true;
  end if;
  return (select total from books.lowest(p_lot, p_since, 'infinity')) >= p_least;
end $$;

-- What was posted at an earlier time than its lots' latest, after the lots were changed and while they are locked. Adds what these transactions
-- moved to the stretches that sum up their time, and checks the lots p_lots: from p_since on, none may stand below p_least at any instant.
-- Raises BK001 where one would, and it takes a closer look to say why; BK006 with a lot's number where it has first to be summed up.
create function books.look_back(p_tenant text, p_nos bigint[], p_lots bigint[], p_since timestamptz[], p_least numeric[])
returns void language plpgsql set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_late record;
begin
  perform books.add_to_stretches(p_tenant, p_nos);
  for v_late in
    select u.lot, u.since, u.least from unnest(p_lots, p_since, p_least) u(lot, since, least)
    where exists (select from books.move where src = u.lot and effective_at > u.since and txn_no <> all(p_nos))
      or exists (select from books.move where dst = u.lot and effective_at > u.since and txn_no <> all(p_nos))
  loop
    perform books.expect_summed(v_late.lot, v_late.since);
    if not books.stands_later(v_late.lot, v_late.since, v_late.least) then
      raise exception 'a later instant would stand too low' using errcode = 'BK001';
    end if;
  end loop;
end $$;

create function books.add_to_stretches(p_tenant text, p_nos bigint[]) returns void language plpgsql as $$
declare
  v_move record;
  v_found books.stretch;
  v_size int := books.stretch_size();
  v_lot bigint;  -- of this lot all is counted that was before this time: what was made anew, was made with all of these moves
  v_until timestamptz;
begin
  for v_move in
    select x.lot_no, m.at, sum(m.change) as change, count(*)::int as moves
    from (select src as lot, effective_at as at, -amount as change from books.move where txn_no = any(p_nos)
          union all select dst, effective_at, amount from books.move where txn_no = any(p_nos)) m
    join books.lot x on x.lot_no = m.lot and m.at < x.summed_until group by 1, 2 order by 1, 2
  loop
    continue when v_move.lot_no = v_lot and v_move.at < v_until;
    select * into v_found from books.stretch where lot_no = v_move.lot_no and level = 1 and begins_at <= v_move.at order by begins_at desc limit 1;
    if v_found.single and v_found.parts >= v_size then
      perform books.add_to_instant(v_found, v_move.at, v_move.change, v_move.moves);
    else
      if v_found.parts + v_move.moves < 4 * v_size then
        perform books.add_up_moves(v_move.lot_no, v_found.begins_at, v_found.ends_at);
      else
        perform books.cut_moves(p_tenant, v_move.lot_no, v_found.begins_at, v_found.ends_at, v_size);
      end if;
      v_lot := v_move.lot_no;
      v_until := v_found.ends_at;
    end if;
    select * into v_found from books.stretch where lot_no = v_move.lot_no and level = 2 and begins_at <= v_move.at order by begins_at desc limit 1;
    if v_found.parts < 4 * v_size then
      perform books.add_up_stretches(v_move.lot_no, v_found.begins_at, v_found.ends_at);
    else
      perform books.cut_stretches(p_tenant, v_move.lot_no, v_found.begins_at, v_found.ends_at, v_size);
    end if;
  end loop;
end $$;

-- Add moves at one instant to a stretch that is one instant with very many moves: it is not read, what comes before or after it gets its own.
create function books.add_to_instant(p_found books.stretch, p_at timestamptz, p_change numeric, p_moves int) returns void language plpgsql as $$
begin
  if p_at = p_found.low_at then
    update books.stretch set net = net + p_change, low = low + p_change, parts = parts + p_moves
    where lot_no = p_found.lot_no and level = 1 and begins_at = p_found.begins_at;
    return;
  end if;
  update books.stretch set begins_at = case when p_at < low_at then low_at else begins_at end, ends_at = case when p_at > low_at then p_at else ends_at end
  where lot_no = p_found.lot_no and level = 1 and begins_at = p_found.begins_at;
  insert into books.stretch (tenant_id, lot_no, level, begins_at, ends_at, net, low, low_at, parts, single)
  values (p_found.tenant_id, p_found.lot_no, 1, case when p_at < p_found.low_at then p_found.begins_at else p_at end,
    case when p_at < p_found.low_at then p_found.low_at else p_found.ends_at end, p_change, p_change, p_at, p_moves, true);
end $$;

-- Every text, number and truth in tags, by a hash of its path and value: which accounts ('a'), flavors ('f') and tag sets ('t') have it. A filter
-- finds by it what it is about. An index on jsonb would do the same, but row-level security lets no operator into an index that might leak
-- what it saw, and those of jsonb might; equality of numbers does not. Two values may share a term, so what is found is asked again.
create table books.term (
  tenant_id text not null,
  what "char" not null check (what in ('a', 'f', 't')),
  term bigint not null,
  no bigint not null,
  primary key (tenant_id, what, term, no)
);
select foundation.isolate_tenants('books.term');
grant select, insert, delete on books.term to bourse_app;

create function books.term_of(p_text text) returns bigint language sql immutable as $$
  select ('x' || left(encode(sha256(convert_to(p_text, 'UTF8')), 'hex'), 16))::bit(64)::bigint
$$;

create function books.terms_of(p_tags jsonb) returns setof bigint language sql immutable as $$
  with recursive found(path, value) as (
    select '', p_tags
    union all select path || '/' || e.key, e.value from found, jsonb_each(case jsonb_typeof(value) when 'object' then value else '{}' end) e)
  select distinct books.term_of(path || '=' || jsonb_typeof(value) || ':' || (value #>> '{}')) from found
  where jsonb_typeof(value) in ('string', 'number', 'boolean')
$$;

-- Keeps the terms of a table with tags; the arguments are what it is of and the name of its number.
create function books.keep_terms() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    delete from books.term t using (select o.tenant_id, (to_jsonb(o) ->> tg_argv[1])::bigint as no, books.terms_of(o.tags) as term from old_rows o) was
    where t.tenant_id = was.tenant_id and t.what = tg_argv[0]::"char" and t.term = was.term and t.no = was.no;
  end if;
  -- Tags are seldom nested, and what is not is asked without a call for each row.
  insert into books.term (tenant_id, what, term, no)
  select r.tenant_id, tg_argv[0]::"char", t.term, r.no
  from (select n.tenant_id, n.tags, (to_jsonb(n) ->> tg_argv[1])::bigint as no from new_rows n where n.tags <> '{}' offset 0) r
  cross join lateral (
    select books.term_of('/' || e.key || '=' || jsonb_typeof(e.value) || ':' || (e.value #>> '{}')) as term from jsonb_each(r.tags) e
    where jsonb_typeof(e.value) in ('string', 'number', 'boolean')
    union select books.terms_of(r.tags) where r.tags @? '$.* ? (@.type() == "object")') t
  order by 1, 2, 3, 4 on conflict do nothing;
  return null;
end $$;
create trigger terms after insert on books.account referencing new table as new_rows for each statement execute function books.keep_terms('a', 'account_no');
create trigger terms after insert on books.flavor referencing new table as new_rows for each statement execute function books.keep_terms('f', 'flavor_no');
create trigger terms after insert on books.tagset referencing new table as new_rows for each statement execute function books.keep_terms('t', 'tagset_no');
create trigger new_terms after update on books.account referencing old table as old_rows new table as new_rows
  for each statement execute function books.keep_terms('a', 'account_no');
create trigger new_terms after update on books.flavor referencing old table as old_rows new table as new_rows
  for each statement execute function books.keep_terms('f', 'flavor_no');
insert into books.term (tenant_id, what, term, no) select tenant_id, 'a', books.terms_of(tags), account_no from books.account;
insert into books.term (tenant_id, what, term, no) select tenant_id, 'f', books.terms_of(tags), flavor_no from books.flavor;
insert into books.term (tenant_id, what, term, no) select tenant_id, 't', books.terms_of(tags), tagset_no from books.tagset;
drop index books.tagset_by_tag;

-- Actions by their tags and time, and by their time alone. An action without tags is in the first of them not at all.
create index move_by_tags on books.move (tagset_no, effective_at) where tagset_no <> 0;
create index move_by_time on books.move using brin (effective_at) with (pages_per_range = 32);

-- The books' tables are read by their keys out of memory or from solid-state disks: a page by its key costs about what the next one does.
alter role bourse_app set random_page_cost = 1.1;
