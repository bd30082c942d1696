-- The rest of what is told comes into the chain: keys, revocations, default quorums, the signatures postings stood on,
-- templates, and what was refused for good.

-- Their numbers are of the one sequence that orders all that is told.
alter table books.key add column entry_no bigint not null default nextval('books.txn_no'),
  add column xid bigint not null default pg_current_xact_id()::text::bigint;
alter table books.key_revocation add column entry_no bigint not null default nextval('books.txn_no'),
  add column xid bigint not null default pg_current_xact_id()::text::bigint;
alter table books.default_quorum add column told_at timestamptz not null default clock_timestamp(),
  add column entry_no bigint not null default nextval('books.txn_no'),
  add column xid bigint not null default pg_current_xact_id()::text::bigint;
alter table books.refusal add column entry_no bigint not null default nextval('books.txn_no'),
  add column xid bigint not null default pg_current_xact_id()::text::bigint;
create unique index refusal_by_entry on books.refusal (entry_no);
create unique index key_by_entry on books.key (entry_no);
create unique index key_revocation_by_entry on books.key_revocation (entry_no);
create unique index default_quorum_by_entry on books.default_quorum (entry_no);

-- A posting draws no number for its signatures: theirs is its own with the place, above all that the sequence ever gives. So they come after
-- all that was written with them.
alter table books.signature add column xid bigint not null default pg_current_xact_id()::text::bigint;
create index signature_as_it_came on books.signature using brin (xid) with (pages_per_range = 16, autosummarize = on);
create function books.signature_entry(p_posting bigint, p_place smallint) returns bigint language sql immutable parallel safe
  return (1::bigint << 62) + (p_posting << 10) + p_place;

-- Where an entry stands in the journal, (xid, no), may be after its transaction's own place, never before: nothing is sealed beyond a
-- transaction that still runs. Who sets a floor has waited for the lot since his xid was given to him, and whoever he waited for may have a
-- later one; so a floor stands after all that was committed when it was set.
create function books.place_after_all() returns bigint language sql volatile as $$
  select greatest(pg_current_xact_id()::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)
$$;
alter table books.told alter column xid set default books.place_after_all();
comment on column books.told.xid is 'the place in the journal: the xid that wrote it, or a later one that was committed before';

create or replace view books.entry with (security_invoker = true) as
select tenant_id, txn_no as no, xid from books.txn
union all select tenant_id, since_no, xid from books.tags_told
union all select tenant_id, told_no, xid from books.told
union all select tenant_id, entry_no, xid from books.key
union all select tenant_id, entry_no, xid from books.key_revocation
union all select tenant_id, entry_no, xid from books.default_quorum
union all select tenant_id, entry_no, xid from books.template
union all select tenant_id, entry_no, xid from books.refusal
union all select tenant_id, books.signature_entry(posting_no, place), xid from books.signature;

-- The lines of what is told of keys, as bourse/ledger/journal_keys.py writes them.
create function books.key_lines(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language plpgsql stable
set plan_cache_mode = force_custom_plan as $$
begin
  return query
  select k.entry_no, k.xid, concat('{"entry":"key","key_id":"', k.key_id, '","version":', k.version, ',"algorithm":"', k.algorithm,
    '","public_key":"', encode(k.public_key, 'hex'), '","valid_from":', to_json(k.valid_from at time zone 'UTC'),
    ',"previous_until":', coalesce(to_json(k.previous_until at time zone 'UTC')::text, 'null'), ',"recorded_at":', to_json(k.told_at at time zone 'UTC'), '}')
  from books.key k where k.entry_no = any(p_numbers)
  union all
  select r.entry_no, r.xid, concat('{"entry":"revocation","key_id":"', r.key_id, '","version":', r.version,
    ',"revoked_at":', to_json(r.revoked_at at time zone 'UTC'), ',"reason":', to_json(r.reason), ',"recorded_at":', to_json(r.told_at at time zone 'UTC'), '}')
  from books.key_revocation r where r.entry_no = any(p_numbers)
  union all
  select d.entry_no, d.xid, concat('{"entry":"default","keys":', to_json(d.key_ids), ',"quorum":', coalesce(d.quorum::text, 'null'),
    ',"since":', to_json(d.since at time zone 'UTC'), ',"recorded_at":', to_json(d.told_at at time zone 'UTC'), '}')
  from books.default_quorum d where d.entry_no = any(p_numbers);
end $$;

create function books.signature_lines(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language plpgsql stable
set plan_cache_mode = force_custom_plan as $$
begin
  return query
  select u.no, s.xid, concat('{"entry":"signature","tenant_id":', to_json(s.tenant_id), ',"posting":"', x.txn_id, '","place":', s.place,
    ',"key_id":"', s.key_id, '","version":', s.version, ',"scope":"', s.scope, '","digest":"', encode(s.digest, 'hex'),
    '","signature":"', encode(s.signature, 'hex'), '","signed":', (
      select to_json(array_agg(t.txn_id order by c.n)) from unnest(s.txn_nos) with ordinality c(no, n) left join books.txn t on t.txn_no = c.no),
    ',"accepted_at":', to_json(s.accepted_at at time zone 'UTC'), '}')
  from unnest(p_numbers) u(no) join books.signature s on s.posting_no = (u.no - (1::bigint << 62)) >> 10 and s.place = u.no & 1023
  left join books.txn x on x.txn_no = s.posting_no
  where u.no >= 1::bigint << 62;
end $$;

-- The lines of templates, as bourse/ledger/journal_templates.py writes them.
create function books.template_lines(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language sql stable as $$
  select t.entry_no, t.xid, concat('{"entry":"template","template_id":"', t.template_id, '","version":', t.version, ',"parameters":', t.parameters,
    ',"document":', t.document, ',"recorded_at":', to_json(t.saved_at at time zone 'UTC'), '}')
  from books.template t where t.entry_no = any(p_numbers)
$$;

-- The lines of refusals, as bourse/ledger/journal_refusals.py writes them. A code is one of our own words.
create function books.refusal_lines(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language sql stable as $$
  select r.entry_no, r.xid, concat('{"entry":"refusal","txn_id":"', r.txn_id, '","digest":"', encode(r.digest, 'hex'), '","code":"', r.code,
    '","detail":', to_json(r.detail), ',"field":', coalesce(to_json(r.field)::text, 'null'), ',"recorded_at":', to_json(r.refused_at at time zone 'UTC'), '}')
  from books.refusal r where r.entry_no = any(p_numbers)
$$;

alter function books.lines(bigint[]) rename to lines_of_moves;
create function books.lines(p_numbers bigint[]) returns table (no bigint, xid bigint, line text) language plpgsql stable as $$
begin
  return query select * from books.lines_of_moves(p_numbers);
  if exists (select from books.key k where k.entry_no = any(p_numbers)) or exists (select from books.key_revocation r where r.entry_no = any(p_numbers))
    or exists (select from books.default_quorum d where d.entry_no = any(p_numbers)) then
    return query select * from books.key_lines(p_numbers);
  end if;
  if exists (select from books.template t where t.entry_no = any(p_numbers)) then
    return query select * from books.template_lines(p_numbers);
  end if;
  if exists (select from books.refusal r where r.entry_no = any(p_numbers)) then
    return query select * from books.refusal_lines(p_numbers);
  end if;
  if (select max(n) from unnest(p_numbers) n) >= 1::bigint << 62 then
    return query select * from books.signature_lines(p_numbers);
  end if;
end $$;

-- Where a feed stands, in words that hold in any store: the last transaction of the journal that its consumer has, and the last action of it where he
-- has not all. Null before the first. What the feed's `since` hides counts as handed out as far as nothing is yet to come before it.
create function books.feed_after(p books.feed, out after text, out at_seq int) language plpgsql stable as $$
declare
  v_xid bigint;
  v_no bigint;
begin
  select x.txn_id, p.seq into after, at_seq from books.txn x
  where p.kind = 'actions' and x.txn_no = p.txn_no and x.xid = p.xid and p.seq > 0 and p.seq < (select max(m.seq) from books.move m where m.txn_no = p.txn_no);
  if found then
    return;
  end if;
  select x.xid, x.txn_no into v_xid, v_no from books.txn x
  where x.tenant_id = p.tenant_id and x.xid >= p.xid and (x.xid, x.txn_no) > (p.xid, p.txn_no)
    and (p.since is null or not pg_visible_in_snapshot(x.xid::text::xid8, p.since)) order by x.xid, x.txn_no limit 1;
  select x.txn_id into after from books.txn x
  where x.tenant_id = p.tenant_id and (v_no is null or x.xid <= v_xid and (x.xid, x.txn_no) < (v_xid, v_no)) order by x.xid desc, x.txn_no desc limit 1;
end $$;
