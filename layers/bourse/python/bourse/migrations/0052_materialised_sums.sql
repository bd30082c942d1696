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

-- The value of a path; null where it is missing. Name after name, for `#>` would take a name of digits for a place in a list.
create function books.value_at(p_path jsonb, p_object jsonb) returns jsonb language plpgsql immutable parallel safe as $$
declare
  v_value jsonb := p_object;
  v_name text;
begin
  for v_name in select jsonb_array_elements_text(p_path) loop
    v_value := v_value -> v_name;
  end loop;
  return nullif(v_value, 'null');
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
  v_part jsonb;
  v_left jsonb;
  v_right jsonb;
begin
  if v_op in ('all', 'any') then
    for v_part in select jsonb_array_elements(p_tree -> 1) loop
      if books.asks(v_part, p_object) = (v_op = 'any') then
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
  select array_agg(o.lot_no), array_agg(s.sum_no), array_agg(o.hot), array_agg(
    (select coalesce(jsonb_agg(coalesce(books.value_at(p.path, o.object), 'null') order by p.n), '[]')
     from jsonb_array_elements(s.paths) with ordinality p(path, n)))
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
  select u.lot, u.sum, g.group_no, u.hot, p_tenant from unnest(v_lots, v_sums, v_hot, v_values) u(lot, sum, hot, v)
  join books.sum_group g on g.sum_no = u.sum and g.digest = sha256(convert_to(u.v::text, 'UTF8'));
end $$;

-- Add what these lots hold to the totals of the sums they are in (null: of all), or with -1 take it away.
create function books.count_lots(p_tenant text, p_sum bigint, p_lots bigint[], p_sign int) returns void language sql as $$
  insert into books.sum_total as x (group_no, slot, amount, tenant_id)
  select s.group_no, pg_backend_pid() % 16, sum(p_sign * greatest(l.amount, 0)), p_tenant
  from books.sum_lot s join books.lot l using (lot_no)
  where s.lot_no = any(p_lots) and s.sum_no = coalesce(p_sum, s.sum_no) and not s.hot
  group by s.group_no having sum(greatest(l.amount, 0)) <> 0 order by s.group_no
  on conflict (group_no, slot) do update set amount = x.amount + excluded.amount
$$;

-- What transactions that were just posted changed of the sums; the last thing of a posting, with its lots locked. Order of waiting: groups by sum
-- and digest, totals by group; after its lots, so nobody waits crosswise.
create function books.keep_sums(p_tenant text, p_nos bigint[]) returns void language plpgsql as $$
declare
  v_new bigint[];
begin
  if not exists (select from books.declared_sum where tenant_id = p_tenant) then
    return;
  end if;
  select array_agg(l.lot_no) into v_new
  from (select src from books.move where txn_no = any(p_nos) union select dst from books.move where txn_no = any(p_nos)) m
  join books.lot l on l.lot_no = m.src where not l.sums_known;
  if v_new is not null then
    perform books.sort_lots(p_tenant, null, v_new);
    update books.lot set sums_known = true where lot_no = any(v_new);
  end if;
  insert into books.sum_total as x (group_no, slot, amount, tenant_id)
  select s.group_no, pg_backend_pid() % 16, sum(greatest(l.amount::numeric, 0) - greatest(l.amount::numeric - c.net, 0)), p_tenant
  from (select lot, sum(change) as net from (
          select src as lot, -amount as change from books.move where txn_no = any(p_nos)
          union all select dst, amount from books.move where txn_no = any(p_nos)) m group by lot) c
  join books.lot l on l.lot_no = c.lot join books.sum_lot s on s.lot_no = c.lot
  where not s.hot
  group by s.group_no having sum(greatest(l.amount::numeric, 0) - greatest(l.amount::numeric - c.net, 0)) <> 0 order by s.group_no
  on conflict (group_no, slot) do update set amount = x.amount + excluded.amount;
end $$;

-- After the tags of an account ('a') or a flavor ('f') were changed, by one who is alone in the tenant: its lots may be in other sums and groups.
create function books.resort_sums(p_tenant text, p_what "char", p_no bigint) returns void language plpgsql as $$
declare
  v_lots bigint[];
begin
  if not exists (select from books.declared_sum where tenant_id = p_tenant) then
    return;
  end if;
  v_lots := case p_what when 'a' then array(select lot_no from books.lot where account_no = p_no)
    else array(select lot_no from books.lot where flavor_no = p_no) end;
  perform books.count_lots(p_tenant, null, v_lots, -1);
  delete from books.sum_lot where lot_no = any(v_lots);
  perform books.sort_lots(p_tenant, null, v_lots);
  perform books.count_lots(p_tenant, null, v_lots, 1);
end $$;

-- Count all that is there already into a sum that was just declared, by one who is alone in the tenant.
create function books.fill_sum(p_tenant text, p_sum bigint) returns void language plpgsql as $$
declare
  v_all bigint[] := array(select lot_no from books.lot where tenant_id = p_tenant order by lot_no);
begin
  for v_begin in 1 .. cardinality(v_all) by 10000 loop
    perform books.sort_lots(p_tenant, p_sum, v_all[v_begin : v_begin + 9999]), books.count_lots(p_tenant, p_sum, v_all[v_begin : v_begin + 9999], 1);
  end loop;
  update books.lot set sums_known = true where tenant_id = p_tenant and not sums_known;
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
