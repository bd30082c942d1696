-- Reversals: which transaction was taken back by which action, move by move, and by how much what is owed was changed by whom.

-- One row for each action that takes something back. The parts of a transaction are numbered, so of two that would both be the next one
-- is, and the other decides again by what the first has left.
create table books.reversal (
  of_txn_no bigint not null,
  part_no int not null check (part_no > 0),
  txn_no bigint not null,
  action_no int not null,
  numerator bigint,
  denominator bigint,
  tenant_id text not null,
  check (of_txn_no < txn_no),
  check ((numerator is null) = (denominator is null)),
  primary key (of_txn_no, part_no)
);
create index reversal_by_txn on books.reversal (txn_no);

create table books.reversed_move (
  txn_no bigint not null,
  seq int not null,
  of_txn_no bigint not null,
  of_seq int not null,
  amount bigint not null check (amount > 0),
  tenant_id text not null,
  primary key (txn_no, seq)
);
create index reversed_move_of on books.reversed_move (of_txn_no, of_seq);

-- What an action changed of `books.owed` (an exact fraction n/d), to be taken back with it.
create table books.owed_change (
  txn_no bigint not null,
  action_no int not null,
  over_flavor_no bigint not null,
  flavor_no bigint not null,
  account_no bigint not null,
  change text not null,
  tenant_id text not null,
  primary key (txn_no, action_no, over_flavor_no, flavor_no, account_no)
);

select foundation.isolate_tenants(t::regclass), foundation.append_only(t::regclass)
from unnest(array['books.reversal', 'books.reversed_move', 'books.owed_change']) t;
grant select, insert on books.reversal, books.reversed_move, books.owed_change to bourse_app;

-- Where a feed's consumer is: what comes after (xid, transaction, place in it) is yet to be acknowledged. `since` is what was visible when the
-- feed was opened and is not handed out; null for one that starts at the beginning.
create table books.feed (
  tenant_id text not null,
  feed_id text not null,
  kind text not null check (kind in ('actions', 'transactions')),
  filter text not null,
  params jsonb not null,
  since pg_snapshot,
  xid bigint not null,
  txn_no bigint not null default 0,
  seq int not null default 0,
  opened_at timestamptz not null default now(),
  primary key (tenant_id, feed_id)
);
select foundation.isolate_tenants('books.feed');
grant select, insert, update, delete on books.feed to bourse_app;

-- How far to look for the next `p_wanted` transactions of a tenant from an xid on, in steps that the block-range index answers; never beyond the
-- oldest transaction that is still running, which is the horizon.
create function books.feed_bound(p_tenant text, p_xid bigint, p_wanted int, out bound bigint, out horizon bigint) language plpgsql as $$
declare
  v_width bigint := 4096;
begin
  horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  loop
    bound := least(p_xid + v_width, horizon);
    exit when bound >= horizon or (
      select count(*) from (select from books.txn where tenant_id = p_tenant and xid >= p_xid and xid < bound limit p_wanted) t) >= p_wanted;
    v_width := v_width * 4;
  end loop;
end $$;
