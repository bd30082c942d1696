-- Materialised sums: amounts of tokens by filter and group, declared by a name and kept by whoever posts, in his own transaction. Which lots are
-- in a sum, and in which of its groups, is decided once for each lot and again when tags change, so a posting only adds to totals.

create table books.declared_sum (
  sum_no bigint generated always as identity primary key,
  tenant_id text not null,
  name text not null,
  filter text not null,
  params jsonb not null,
  group_by text[] not null,
  tree jsonb not null,
  paths jsonb not null,
  unique (tenant_id, name)
);

create table books.sum_group (
  group_no bigint generated always as identity primary key,
  tenant_id text not null,
  sum_no bigint not null,
  digest bytea not null,
  group_values jsonb not null,
  unique (sum_no, digest)
);

-- Lots that are in a sum. A hot account's tokens are those of all its slots together, which no single writer knows: they are added up when asked.
create table books.sum_lot (
  lot_no bigint not null,
  sum_no bigint not null,
  group_no bigint not null,
  hot boolean not null,
  tenant_id text not null,
  primary key (lot_no, sum_no)
);
create index sum_lot_hot on books.sum_lot (sum_no) where hot;

-- A group's total is that of its sixteen slots; a writer adds to the slot of his connection, so writers of one group seldom wait for each other.
create table books.sum_total (
  group_no bigint not null,
  slot smallint not null,
  amount numeric not null,
  tenant_id text not null,
  primary key (group_no, slot)
) with (fillfactor = 50);

-- Whether it was decided which sums a lot is in.
alter table books.lot add column sums_known boolean not null default false;

select foundation.isolate_tenants(t::regclass) from unnest(array['books.declared_sum', 'books.sum_group', 'books.sum_lot', 'books.sum_total']) t;
grant select, insert, update, delete on books.declared_sum, books.sum_group, books.sum_lot, books.sum_total to bourse_app;
create policy posting on books.declared_sum to bourse_books using (true);

-- The value of a path; null where it is missing. Name after name, for `#>` would take a name of digits for a place in a list.
create function books.value_at(p_path jsonb, p_object jsonb) returns jsonb language plpgsql immutable parallel safe as $$
declare
  v_value jsonb := p_object;
begin
  for v_n in 0 .. jsonb_array_length(p_path) - 1 loop
    v_value := v_value -> (p_path ->> v_n);
  end loop;
  return nullif(v_value, 'null');
end $$;

-- The values of several paths.
create function books.values_at(p_paths jsonb, p_object jsonb) returns jsonb language plpgsql immutable parallel safe as $$
declare
  v_values jsonb := '[]';
begin
  for v_n in 0 .. jsonb_array_length(p_paths) - 1 loop
    v_values := v_values || jsonb_build_array(books.value_at(p_paths -> v_n, p_object));
  end loop;
  return v_values;
end $$;

-- A side of a comparison: {"value": v}, or {"path": [...], "type": t} which is null where the object has no such thing of that type. Times are
-- microseconds since 1970; "pattern" says which texts are times.
create function books.side_of(p_side jsonb, p_object jsonb) returns jsonb language plpgsql immutable parallel safe as $$
declare
  v_value jsonb;
begin
  if p_side ? 'value' then
    return p_side -> 'value';
  end if;
  v_value := books.value_at(p_side -> 'path', p_object);
  if p_side ->> 'type' = 'time' then
    return case when jsonb_typeof(v_value) = 'string' and v_value #>> '{}' ~ (p_side ->> 'pattern')
      then to_jsonb((extract(epoch from books.as_time(v_value #>> '{}')) * 1000000)::bigint) end;
  end if;
  return case when (p_side -> 'types') ? jsonb_typeof(v_value) then v_value end;
end $$;

-- Whether an object matches a filter: ["all"|"any", [tree, ...]], ["not", tree], ["known", side], [op, side, side]. The same meaning as
-- ledger/filters/evaluate.py; a test compares them.
create function books.asks(p_tree jsonb, p_object jsonb) returns boolean language plpgsql immutable parallel safe as $$
declare
  v_op text := p_tree ->> 0;
  v_left jsonb;
  v_right jsonb;
begin
  if v_op in ('all', 'any') then
    for v_n in 0 .. jsonb_array_length(p_tree -> 1) - 1 loop
      if books.asks(p_tree -> 1 -> v_n, p_object) = (v_op = 'any') then
        return v_op = 'any';
      end if;
    end loop;
    return v_op = 'all';
  elsif v_op = 'not' then
    return not books.asks(p_tree -> 1, p_object);
  elsif v_op = 'known' then
    return books.value_at(p_tree -> 1, p_object) is not null;
  end if;
  v_left := books.side_of(p_tree -> 1, p_object);
  v_right := books.side_of(p_tree -> 2, p_object);
  if v_left is null or v_right is null or jsonb_typeof(v_left) <> jsonb_typeof(v_right) then
    return false;
  elsif v_op in ('=', '!=') then
    return (v_left = v_right) = (v_op = '=');
  elsif jsonb_typeof(v_left) = 'string' then
    return case v_op when '<' then v_left #>> '{}' < (v_right #>> '{}') collate "C" when '<=' then v_left #>> '{}' <= (v_right #>> '{}') collate "C"
      when '>' then v_left #>> '{}' > (v_right #>> '{}') collate "C" else v_left #>> '{}' >= (v_right #>> '{}') collate "C" end;
  end if;
  return case v_op when '<' then v_left < v_right when '<=' then v_left <= v_right when '>' then v_left > v_right else v_left >= v_right end;
end $$;

-- Decide which sums these lots are in (null: of all sums), and in which groups.
create function books.sort_lots(p_tenant text, p_sum bigint, p_lots bigint[]) returns void language plpgsql as $$
declare
  v_lots bigint[];
  v_sums bigint[];
  v_hot boolean[];
  v_values jsonb[];
begin
  select array_agg(o.lot_no), array_agg(s.sum_no), array_agg(o.hot), array_agg(books.values_at(s.paths, o.object))
  into v_lots, v_sums, v_hot, v_values
  from (select l.lot_no, a.hot, jsonb_build_object('account_id', a.account_id, 'account_tags', a.tags, 'flavor_id', f.flavor_id, 'flavor_tags', f.tags,
          'tags', coalesce(t.tags, '{}')) as object
        from unnest(p_lots) u(no) join books.lot l on l.lot_no = u.no join books.account a using (account_no) join books.flavor f using (flavor_no)
        left join books.tagset t using (tagset_no)) o
  join books.declared_sum s on s.tenant_id = p_tenant and s.sum_no = coalesce(p_sum, s.sum_no)
  where books.asks(s.tree, o.object);
  if v_lots is null then
    return;
  end if;
  insert into books.sum_group (tenant_id, sum_no, digest, group_values)
  select distinct p_tenant, u.sum, sha256(convert_to(u.v::text, 'UTF8')), u.v from unnest(v_sums, v_values) u(sum, v) order by 2, 3
  on conflict do nothing;
  insert into books.sum_lot (lot_no, sum_no, group_no, hot, tenant_id)
  select u.lot, u.sum, (select group_no from books.sum_group where sum_no = u.sum and digest = sha256(convert_to(u.v::text, 'UTF8'))), u.hot, p_tenant
  from unnest(v_lots, v_sums, v_hot, v_values) u(lot, sum, hot, v);
end $$;

-- Add what these lots hold to the totals of the sums they are in (null: of all), or with -1 take it away.
create function books.count_lots(p_tenant text, p_sum bigint, p_lots bigint[], p_sign int) returns void language sql as $$
  insert into books.sum_total as x (group_no, slot, amount, tenant_id)
  select s.group_no, pg_backend_pid() % 16, p_sign * sum(l.amount), p_tenant
  from unnest(p_lots) u(lot)
  cross join lateral (select amount from books.lot where lot_no = u.lot and amount > 0 offset 0) l
  cross join lateral (select group_no from books.sum_lot where lot_no = u.lot and sum_no = coalesce(p_sum, sum_no) and not hot offset 0) s
  group by s.group_no order by s.group_no
  on conflict (group_no, slot) do update set amount = x.amount + excluded.amount
$$;

-- What transactions that were just posted changed of the sums: the last thing of a posting, with its lots locked, where the tenant has sums at all.
-- Order of waiting: groups by sum and digest, totals by group; after the lots, so nobody waits crosswise. Every look-up is by a key, for a plan that
-- was made when the tables were small serves when they are large.
create function books.add_to_sums(p_tenant text, p_nos bigint[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
  v_lots bigint[];
  v_changes numeric[];
  v_new bigint[];
begin
  select array_agg(c.lot), array_agg(greatest(l.amount, 0) - greatest(l.amount - c.net, 0)), array_agg(c.lot) filter (where not l.sums_known)
  into v_lots, v_changes, v_new
  from (select v.lot, sum(v.change) as net from books.move m cross join lateral (values (m.src, -m.amount), (m.dst, m.amount)) v(lot, change)
        where m.txn_no = any(p_nos) group by v.lot) c
  cross join lateral (select amount::numeric as amount, sums_known from books.lot where lot_no = c.lot offset 0) l;
  if v_new is not null then
    perform books.sort_lots(p_tenant, null, v_new);
    update books.lot set sums_known = true where lot_no = any(v_new);
  end if;
  insert into books.sum_total as x (group_no, slot, amount, tenant_id)
  select s.group_no, pg_backend_pid() % 16, sum(c.change), p_tenant
  from unnest(v_lots, v_changes) c(lot, change)
  cross join lateral (select group_no from books.sum_lot where lot_no = c.lot and not hot offset 0) s
  group by s.group_no having sum(c.change) <> 0 order by s.group_no
  on conflict (group_no, slot) do update set amount = x.amount + excluded.amount;
end $$;

-- The next lots after a number, in their order, up to `p_limit`: all of the tenant's, or those of an account ('a') or a flavor ('f').
create function books.next_lots(p_tenant text, p_what "char", p_no bigint, p_after bigint, p_limit int) returns bigint[] language plpgsql as $$
begin
  return case p_what
    when 'a' then array(select lot_no from books.lot where account_no = p_no and lot_no > p_after order by lot_no limit p_limit)
    when 'f' then array(select lot_no from books.lot where flavor_no = p_no and lot_no > p_after order by lot_no limit p_limit)
    else array(select lot_no from books.lot where tenant_id = p_tenant and lot_no > p_after order by lot_no limit p_limit) end;
end $$;

-- After the tags of an account or a flavor were changed, by one who is alone in the tenant: its lots may be in other sums and groups. Or after books
-- were restored ('t'), whose lots nobody posted. Some lots in a call, so that no call lasts long; the last of them, null when all are done.
create function books.resort_sums(p_tenant text, p_what "char", p_no bigint, p_after bigint, p_limit int) returns bigint language plpgsql as $$
declare
  v_lots bigint[];
begin
  if not exists (select from books.declared_sum where tenant_id = p_tenant) then
    return null;
  end if;
  v_lots := books.next_lots(p_tenant, p_what, p_no, p_after, p_limit);
  perform books.count_lots(p_tenant, null, v_lots, -1);
  delete from books.sum_lot where lot_no = any(v_lots);
  perform books.sort_lots(p_tenant, null, v_lots);
  perform books.count_lots(p_tenant, null, v_lots, 1);
  update books.lot set sums_known = true where lot_no = any(v_lots) and not sums_known;
  return case when cardinality(v_lots) = p_limit then v_lots[p_limit] end;
end $$;

-- Count what is there already into a sum that was just declared, by one who is alone in the tenant. Some lots in a call, as above.
create function books.fill_sum(p_tenant text, p_sum bigint, p_after bigint, p_limit int) returns bigint language plpgsql as $$
declare
  v_lots bigint[] := books.next_lots(p_tenant, 't', null, p_after, p_limit);
begin
  perform books.sort_lots(p_tenant, p_sum, v_lots), books.count_lots(p_tenant, p_sum, v_lots, 1);
  update books.lot set sums_known = true where lot_no = any(v_lots) and not sums_known;
  return case when cardinality(v_lots) = p_limit then v_lots[p_limit] end;
end $$;

create function books.drop_sum(p_tenant text, p_name text) returns void language plpgsql as $$
declare
  v_sum bigint;
begin
  delete from books.declared_sum where tenant_id = p_tenant and name = p_name returning sum_no into v_sum;
  delete from books.sum_total where group_no in (select group_no from books.sum_group where sum_no = v_sum);
  delete from books.sum_lot where sum_no = v_sum;
  delete from books.sum_group where sum_no = v_sum;
end $$;
