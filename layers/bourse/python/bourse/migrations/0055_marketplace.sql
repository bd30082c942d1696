-- The marketplace's own flows on the books.

-- Open accounts and flavors that are not there and number tag sets, in sets, and say the numbers of all of them. p is
--   {"accounts": [[account_id, tags, floor, hot]], "flavors": [[flavor_id, tags]], "tagsets": [[digest in hexadecimal, tags]]}
-- What is there stays as it is. Names are looked up by their keys, whatever a plan made when the tables were small would prefer.
create function books.open_missing(p_tenant text, p jsonb) returns jsonb language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
  perform set_config('app.tenant', p_tenant, true);
  with opened as (
    insert into books.account (tenant_id, account_id, tags, floor, hot)
    select p_tenant, u->>0, u->1, (u->>2)::bigint, (u->>3)::boolean from jsonb_array_elements(p->'accounts') u
    where not exists (select from books.account x where x.tenant_id = p_tenant and x.account_id = u->>0)
    order by 2 on conflict do nothing returning account_no, tags)
  insert into books.tags_told (tenant_id, what, no, since_no, tags) select p_tenant, 'a', account_no, nextval('books.txn_no'), tags from opened;

  with opened as (
    insert into books.flavor (tenant_id, flavor_id, tags)
    select p_tenant, u->>0, u->1 from jsonb_array_elements(p->'flavors') u
    where not exists (select from books.flavor x where x.tenant_id = p_tenant and x.flavor_id = u->>0)
    order by 2 on conflict do nothing returning flavor_no, tags)
  insert into books.tags_told (tenant_id, what, no, since_no, tags) select p_tenant, 'f', flavor_no, nextval('books.txn_no'), tags from opened;

  insert into books.tagset (tenant_id, digest, tags)
  select p_tenant, decode(u->>0, 'hex'), u->1 from jsonb_array_elements(p->'tagsets') u
  where not exists (select from books.tagset x where x.tenant_id = p_tenant and x.digest = decode(u->>0, 'hex'))
  order by 2 on conflict do nothing;

  return jsonb_build_object(
    'accounts', coalesce((select jsonb_agg(jsonb_build_array(x.account_id, x.account_no, x.tags, x.floor, x.hot, x.closed_at is not null))
      from jsonb_array_elements(p->'accounts') u join books.account x on x.tenant_id = p_tenant and x.account_id = u->>0), '[]'),
    'flavors', coalesce((select jsonb_agg(jsonb_build_array(x.flavor_id, x.flavor_no, x.tags))
      from jsonb_array_elements(p->'flavors') u join books.flavor x on x.tenant_id = p_tenant and x.flavor_id = u->>0), '[]'),
    'tagsets', coalesce((select jsonb_agg(jsonb_build_array(u->>0, x.tagset_no))
      from jsonb_array_elements(p->'tagsets') u join books.tagset x on x.tenant_id = p_tenant and x.digest = decode(u->>0, 'hex')), '[]'));
end $$;
