-- Where the units of a lot came from, first in, first out by effective time: see ledger/explain.py for the rule. Only reads.

-- What lots that differ in nothing but their slot had together just before a move took something from them: all that came until that instant, less what
-- left before the move. Null where more than p_moves moves of one of them would have to be read for it; a history that is summed up is not read by
-- moves. `reads`: how many were.
create function books.stood_before(p_lots bigint[], p_at timestamptz, p_txn bigint, p_seq int, p_moves int, out stood numeric, out reads bigint)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_total numeric := 0;
  v_lot record;
  v_later record;
begin
  reads := 0;
  for v_lot in select lot_no, amount, latest_at, summed_until from books.lot where lot_no = any(p_lots) loop
    v_total := v_total + v_lot.amount;
    if v_lot.latest_at > p_at then
      select coalesce(sum(change), 0) as change, count(*) as moves into v_later from (
        (select -amount as change from books.move where src = v_lot.lot_no and effective_at > p_at limit p_moves + 1)
        union all (select amount from books.move where dst = v_lot.lot_no and effective_at > p_at limit p_moves + 1)) m;
      reads := reads + v_later.moves;
      if v_later.moves <= p_moves then
        v_total := v_total - v_later.change;
      elsif v_lot.summed_until > p_at
        and not exists (select from books.move where src = v_lot.lot_no and effective_at >= v_lot.summed_until offset p_moves)
        and not exists (select from books.move where dst = v_lot.lot_no and effective_at >= v_lot.summed_until offset p_moves) then
        v_total := v_total - v_lot.amount + (select s.total from books.lowest(v_lot.lot_no, p_at, p_at + interval '1 microsecond') s);
      else
        return;
      end if;
    end if;
    select coalesce(sum(m.amount), 0) as change, count(*) as moves into v_later from (
      select amount from books.move where src = v_lot.lot_no and effective_at = p_at and txn_no >= p_txn and (txn_no > p_txn or seq >= p_seq)
      limit p_moves + 1) m;
    reads := reads + v_later.moves;
    if v_later.moves > p_moves then
      return;
    end if;
    v_total := v_total + v_later.change;
  end loop;
  stood := v_total;
end $$;

-- What units came by, newest first. Arrays n* belong together: a lot and an amount; and, where they were spent from it by a move, its time,
-- transaction and place, and how many of the move's units come before these. Reads at most p_moves moves of a lot at a time, and about p_reads of all;
-- returns at most p_steps arrivals. An arrival is a part of a move: how many of its units come first, and how many it is; what is not told of an
-- amount says why in `missing`. The last row, of need 0, has in `amount` how many moves were read.
create function books.came_by(
  n_lot bigint[], n_amount bigint[], n_at timestamptz[], n_txn bigint[], n_seq int[], n_first bigint[], p_moves int, p_reads bigint, p_steps int
) returns table (need int, txn_no bigint, seq int, effective_at timestamptz, src bigint, type "char", contra boolean, first bigint, amount bigint, missing text)
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_lots bigint[];
  v_at timestamptz;
  v_low numeric;  -- the units asked for, counted from the newest one back
  v_high numeric;
  v_run numeric;
  v_read int;
  v_oldest numeric;
  v_newest numeric;
  v_arrivals refcursor;
  v_before record;
  v_reads bigint := 0;
  v_long bigint[] := '{}';  -- lots of which too many moves lie behind a time, and that time
  v_long_at timestamptz[] := '{}';
  v_move record;
begin
  for v_n in 1 .. cardinality(n_lot) loop
    need := v_n; txn_no := null; seq := null; effective_at := null; src := null; type := null; contra := null; first := null;
    if p_steps = 0 then
      amount := n_amount[v_n]; missing := 'steps';
      return next;
      continue;
    end if;
    v_lots := array(select o.lot_no from books.lot l join books.lot o
      on o.account_no = l.account_no and o.flavor_no = l.flavor_no and o.tagset_no = l.tagset_no where l.lot_no = n_lot[v_n]);
    v_at := coalesce(n_at[v_n], 'infinity');
    v_high := n_amount[v_n];
    if n_txn[v_n] is not null then
      v_high := null;
      if v_reads < p_reads and not exists (select from unnest(v_long, v_long_at) u(lot, at) where u.lot = v_lots[1] and u.at >= v_at) then
        v_before := books.stood_before(v_lots, v_at, n_txn[v_n], n_seq[v_n], p_moves);
        v_high := v_before.stood - n_first[v_n];
        v_reads := v_reads + v_before.reads;
        if v_high is null then
          v_long := v_long || v_lots[1];
          v_long_at := v_long_at || v_at;
        end if;
      end if;
    end if;
    if v_high is null then
      amount := n_amount[v_n]; missing := 'moves';
      return next;
      continue;
    end if;
    v_low := v_high - n_amount[v_n];
    if v_low < 0 then
      amount := least(n_amount[v_n], -v_low); missing := 'credit';
      return next;
    end if;
    v_low := greatest(v_low, 0);
    v_run := 0;
    v_read := 0;
    if cardinality(v_lots) = 1 then
      open v_arrivals no scroll for
        select m.txn_no, m.seq, m.type, m.src, m.effective_at, m.amount from books.move m where m.dst = v_lots[1] and m.effective_at <= v_at
        order by m.effective_at desc, m.txn_no desc, m.seq desc;
    else
      open v_arrivals no scroll for
        select m.* from unnest(v_lots) s(lot) cross join lateral (
          select m.txn_no, m.seq, m.type, m.src, m.effective_at, m.amount from books.move m where m.dst = s.lot and m.effective_at <= v_at
          order by m.effective_at desc, m.txn_no desc, m.seq desc limit case when v_low = 0 then least(p_steps, p_moves) else p_moves end + 1) m
        order by m.effective_at desc, m.txn_no desc, m.seq desc;
    end if;
    while v_run < v_high loop
      fetch v_arrivals into v_move;
      if not found then
        raise exception 'lot % gave more than it had', n_lot[v_n];
      end if;
      v_oldest := least(v_high, v_run + v_move.amount);
      v_newest := greatest(v_low, v_run);
      if v_read = p_moves or p_steps = 0 and v_oldest > v_newest then
        txn_no := null; amount := v_high - v_newest; missing := case when v_read = p_moves then 'moves' else 'steps' end;
        return next;
        exit;
      end if;
      if v_oldest > v_newest then
        txn_no := v_move.txn_no; seq := v_move.seq; effective_at := v_move.effective_at; src := v_move.src; type := v_move.type;
        contra := (select l.tagset_no = 0 and a.floor is null from books.lot l join books.account a using (account_no) where l.lot_no = v_move.src);
        first := v_run + v_move.amount - v_oldest; amount := v_oldest - v_newest; missing := null;
        return next;
        p_steps := p_steps - 1;
      end if;
      v_run := v_run + v_move.amount;
      v_read := v_read + 1;
    end loop;
    close v_arrivals;
    v_reads := v_reads + v_read;
  end loop;
  need := 0; txn_no := null; missing := null; amount := v_reads;
  return next;
end $$;

-- Lists are by the octets of names, whatever the database's language is.
create index account_by_octets on books.account (tenant_id, account_id collate "C");
create index flavor_by_octets on books.flavor (tenant_id, flavor_id collate "C");
