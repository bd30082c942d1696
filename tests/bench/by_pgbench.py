"""One transfer a transaction, asked by pgbench: what the server and the protocol take of it, without a Python client on either side.

An account is a number drawn by pgbench; a table beside each ledger, made here and the same for both, says which account that is.
"""

import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg

_DRAWN = r"""\set a random(1, 5000)
\set b random(5001, 10000)
\set s random(0, 1)
\set x :a * :s + :b * (1 - :s)
\set y :b * :s + :a * (1 - :s)
\set m random(1, 99)
\set r random(1, 9000000000000000000)
"""
_OURS = """select books.post_one('t1', :prefix || '.' || :r, 'transaction', sha256(int8send(:r)), '2026-01-05T09:00:00+00:00', 'bench', '{{}}', 't',
  {flavor}, :m, 0, (select id from public.drawn where n = :x), false, 0::smallint, (select id from public.drawn where n = :y), {tags}, 0::smallint, null);
"""
_THEIRS = "select pgledger_create_transfer((select id from public.drawn where n = :x), (select id from public.drawn where n = :y), :m);\n"
_BARE = "select public.post_one(gen_random_uuid(), '2026-01-05T09:00:00+00:00', '{\"source\": \"bank\"}', :x, :y, :m);\n"
_NUMBER_OURS = "create table public.drawn as select row_number() over (order by account_no) as n, account_no as id from books.account where account_id ~ '^a'"
_NUMBER_THEIRS = "create table public.drawn as select row_number() over (order by created_at, id) as n, id from pgledger_accounts"


def available() -> bool:
    return shutil.which("pgbench") is not None


def prepare(owner_dsn: str, ledger: str) -> str:
    """Number the accounts, and give the script. The accounts of `bare` are numbers already."""
    if ledger == "bare":
        return _DRAWN + _BARE
    with psycopg.connect(owner_dsn, autocommit=True) as owner:
        owner.execute(_NUMBER_OURS if ledger == "ours" else _NUMBER_THEIRS)
        owner.execute("alter table public.drawn add primary key (n)")
        owner.execute("analyze public.drawn")
        if ledger == "pgledger":
            return _DRAWN + _THEIRS
        owner.execute("grant select on public.drawn to bourse_app")
        row = owner.execute("select (select min(flavor_no) from books.flavor), (select min(tagset_no) from books.tagset)").fetchone()
        assert row is not None, "the books have a flavor and a set of tags"
        return _DRAWN + _OURS.format(flavor=row[0], tags=row[1])


def rate(dsn: str, script: str, connections: int, seconds: float) -> float:
    """Transactions per second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "transfer.sql")
        path.write_text(script)
        asked = ["-n", "-M", "prepared", "-c", str(connections), "-j", "2" if connections > 1 else "1", "-T", str(max(1, round(seconds)))]
        drawn = ["-D", f"prefix={random.getrandbits(40)}"]
        done = subprocess.run(["pgbench", *asked, *drawn, "-f", path, dsn], capture_output=True, text=True, check=True)
    failed, found = re.search(r"failed transactions: (\d+)", done.stdout), re.search(r"tps = ([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    assert failed is None or failed[1] == "0", done.stdout + done.stderr
    return float(found[1])
