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
