-- Keys of the books: public keys and their versions, what accounts and flavors ask to be signed, and the signatures postings stood on.
-- A private key is never here. Everything is added only: what a key signed can be verified for ever, and nobody undoes a revocation.

-- A version of a key, from `valid_from` on; versions before it sign until `previous_until`. No two keys have the same public key, so
-- nobody counts twice towards a quorum.
create table books.key (
  tenant_id text not null,
  key_id text not null,
  version int not null check (version > 0),
  algorithm text not null check (algorithm in ('ed25519', 'ecdsa_p256_sha256')),
  public_key bytea not null,
  valid_from timestamptz not null,
  previous_until timestamptz check ((previous_until is null) = (version = 1)),
  told_at timestamptz not null default now(),
  primary key (tenant_id, key_id, version),
  constraint one_holder_one_key unique (tenant_id, public_key)
);

-- From `revoked_at` on the version and all before it sign nothing.
create table books.key_revocation (
  tenant_id text not null,
  key_id text not null,
  version int not null,
  revoked_at timestamptz not null,
  reason text not null,
  told_at timestamptz not null default now(),
  primary key (tenant_id, key_id, version)
);

-- The keys of accounts and flavors that name none; the latest row is what holds.
create table books.default_quorum (
  default_no bigint generated always as identity primary key,
  tenant_id text not null,
  key_ids text[] not null,
  quorum smallint,
  since timestamptz not null,
  constraint quorum_of_keys check (quorum between 1 and cardinality(key_ids))
);
create index default_quorum_by_tenant on books.default_quorum (tenant_id, default_no);

-- A signature that a posting stood on: over one transaction, or over the digests of a batch in the order of `txn_nos`.
create table books.signature (
  posting_no bigint not null,
  place smallint not null,
  tenant_id text not null,
  key_id text not null,
  version int not null,
  scope text not null check (scope in ('transaction', 'batch')),
  digest bytea not null,
  signature bytea not null,
  txn_nos bigint[] not null,
  accepted_at timestamptz not null,
  primary key (posting_no, place)
);
create index signature_by_key on books.signature (tenant_id, key_id, posting_no);

-- Whose keys sign what leaves an account, or makes tokens of a flavor: said when it is opened, and it stays.
alter table books.account add column key_ids text[] not null default '{}', add column quorum smallint,
  add constraint quorum_of_keys check (quorum between 1 and cardinality(key_ids));
alter table books.flavor add column key_ids text[] not null default '{}', add column quorum smallint,
  add constraint quorum_of_keys check (quorum between 1 and cardinality(key_ids));
create trigger keys_stay before update of key_ids, quorum on books.account for each row execute function foundation.refuse_change();
create trigger keys_stay before update of key_ids, quorum on books.flavor for each row execute function foundation.refuse_change();

select foundation.isolate_tenants(t::regclass), foundation.append_only(t::regclass)
from unnest(array['books.key', 'books.key_revocation', 'books.default_quorum', 'books.signature']) t;
grant select, insert on books.key, books.key_revocation, books.default_quorum, books.signature to bourse_app;

-- Whether a version of a key signs at a time; a version later than it, or revoked with it, may have ended it.
create function books.key_signs(p_key text, p_version int, p_at timestamptz) returns boolean language sql stable as $$
  select exists (select from books.key where tenant_id = (select foundation.tenant()) and key_id = p_key and version = p_version and valid_from <= p_at)
    and not exists (select from books.key where tenant_id = (select foundation.tenant()) and key_id = p_key and version > p_version and previous_until <= p_at)
    and not exists (select from books.key_revocation
                    where tenant_id = (select foundation.tenant()) and key_id = p_key and version >= p_version and revoked_at <= p_at)
$$;

-- Keep the signatures a posting stands on, in its transaction: {"at", "signatures": [{"key_id", "version", "scope", "digest", "signature",
-- "covers"}]}. `p_numbers` is what the posting returned, its transactions' numbers and one value more, and is returned. `covers`: numbers
-- of transactions posted before, and -1, -2, ... for those of `p_numbers`; null for all of these. Raises BK010 where a key has ended
-- since it was read: the posting holds the tenant's lock shared, and a key ends under it alone, so what is recorded after that never
-- stands on the key.
create function books.keep_signatures(p_warrant jsonb, p_numbers bigint[]) returns bigint[] language plpgsql as $$
begin
  if exists (select from jsonb_to_recordset(p_warrant->'signatures') s(key_id text, version int)
             where not books.key_signs(s.key_id, s.version, (p_warrant->>'at')::timestamptz)) then
    raise exception 'a key has ended' using errcode = 'BK010';
  end if;
  insert into books.signature (posting_no, place, tenant_id, key_id, version, scope, digest, signature, txn_nos, accepted_at)
  select p_numbers[1], s.place, foundation.tenant(), s.one->>'key_id', (s.one->>'version')::int, s.one->>'scope', decode(s.one->>'digest', 'hex'),
    decode(s.one->>'signature', 'hex'),
    case when s.one->'covers' = 'null' then p_numbers[:cardinality(p_numbers) - 1] else array(
      select case when c.no::bigint > 0 then c.no::bigint else p_numbers[-c.no::bigint] end
      from jsonb_array_elements_text(s.one->'covers') with ordinality c(no, n) order by c.n) end,
    (p_warrant->>'at')::timestamptz
  from jsonb_array_elements(p_warrant->'signatures') with ordinality s(one, place);
  return p_numbers;
end $$;
