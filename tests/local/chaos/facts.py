"""What a marketplace came to, as rows that neither order nor time may change: two runs of the same job are compared by them.

Left out of every row, because chance or the clock makes it: ids (of uploads, offers, bids, messages: they hang on the upload's), times, the numbers of
plans and of messages (balances are collected for a second, so how many there are is a matter of timing), versions of buy offers, which count plans, and
hashes of contents, whose key is drawn by each stack: the contents themselves are compared.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
from bourse.assets.dynamodb_versions import _assessment, _head
from bourse.assets.events import book_of
from bourse.matching.book import Book
from bourse.matching.dynamodb import DynamoBooks, _view
from bourse.matching.match_offers import open_book

from demo.market import COUNTS, Market, Upload
from demo.parties import CURRENCY
from infra.local.stack import Stack, client
from tests.local.builders import World

Facts = dict[str, set[str]]
"""Table -> its rows as text. A row that stands there twice ends in how often."""

_SQL: Final = {
    "parties": """
        select 'originator', originator_id, name, status, product_id from parties.originator where tenant_id = %(tenant)s
        union all select 'investor', investor_id, name, status, '' from parties.investor where tenant_id = %(tenant)s""",
    "what operators did": "select actor, action, subject, detail from parties.audit where tenant_id = %(tenant)s",
    "portfolios": """
        select p.portfolio_id, p.investor_id, p.status, p.version, v.terms from trading.portfolio p
        join trading.portfolio_version v using (tenant_id, portfolio_id, version) where tenant_id = %(tenant)s""",
    "buy offers that stand": "select portfolio_id, bucket_id, volume, cost from trading.buy_offer where tenant_id = %(tenant)s",
    "last plan of each portfolio": """
        select distinct on (portfolio_id) portfolio_id, facts, buckets from trading.plan where tenant_id = %(tenant)s
        order by portfolio_id, plan_no desc""",
    "bids decided": """
        select investor_id, portfolio_id, bucket_id, originator_id, loan_id, outcome, reason, risk_class, currency, principal, sell_amount, buy_amount
        from ledger.bid where tenant_id = %(tenant)s""",
    "settled per bucket": "select investor_id, portfolio_id, bucket_id, settled_total from ledger.bucket_total where tenant_id = %(tenant)s",
    "loans in the ledger": "select flavor, originator_id, loan_id, currency, status, version from ledger.loan where tenant_id = %(tenant)s",
    "balances": """
        select a.account_id, f.flavor_id, sum(l.amount), sum(l.held) from books.lot l join books.account a using (account_no)
        join books.flavor f using (flavor_no) where l.tenant_id = %(tenant)s group by 1, 2""",
    "transactions": "select kind, count(*) from books.txn where tenant_id = %(tenant)s group by 1",
    "moves": """
        select t.kind, a.account_id, b.account_id, f.flavor_id, m.amount from books.move m join books.txn t using (txn_no)
        join books.lot s on s.lot_no = m.src join books.lot d on d.lot_no = m.dst join books.flavor f on f.flavor_no = s.flavor_no
        join books.account a on a.account_no = s.account_no join books.account b on b.account_no = d.account_no where m.tenant_id = %(tenant)s""",
    "accounts": "select account_id, tags, floor, hot, closed_at is not null from books.account where tenant_id = %(tenant)s",
    "refused for good": "select count(*) from books.refusal where tenant_id = %(tenant)s",
}
_CLOCKS: Final = frozenset({"assessed_at", "learned_at"})
_UPLOAD: Final = ("upload_seq", "state", *COUNTS)


def facts_of(world: World, sent: Iterable[Upload]) -> Facts:
    """Every table of the tenant of a `World`, once nothing moves any more."""
    tables = {name: world.query(statement) for name, statement in _SQL.items()}
    tables |= _uploads(world.market, sent)
    tables |= _loans(world.stack, world.tenant_id)
    tables |= _book(book_as_stored(world.stack, world.tenant_id))
    tables["offers as readers see them"] = list(_offers(world.stack, world.tenant_id))
    return {name: _counted(rows) for name, rows in tables.items()}


def differences(calm: Mapping[str, set[str]], stormy: Mapping[str, set[str]]) -> Iterator[str]:
    """What is in one and not in the other, as an operator reads it."""
    for table in calm:
        yield from (f"{table}: lost {row}" for row in sorted(calm[table] - stormy[table]))
        yield from (f"{table}: not in the undisturbed run {row}" for row in sorted(stormy[table] - calm[table]))


def stored_books(stack: Stack) -> DynamoBooks:
    """The books as their function keeps them."""
    return DynamoBooks(client("dynamodb", stack.aws_endpoint), client("s3", stack.aws_endpoint), "bourse-local-books", _bucket(stack, "snapshots"))


def book_as_stored(stack: Stack, tenant_id: str) -> Book:
    """The tenant's book, from its snapshot and what it heard since."""
    return open_book(book_of(tenant_id, CURRENCY), stored_books(stack)).book


def _uploads(market: Market, sent: Iterable[Upload]) -> dict[str, list[Any]]:
    uploads, rejected = [], []
    for one in sent:
        status = market.status(one)
        uploads.append((one.originator_id, *(status[name] for name in _UPLOAD), status.get("failure"), status.get("notes")))
        rejected += [(one.originator_id, status["upload_seq"], rejection) for rejection in market.rejections(one)]
    return {"uploads": uploads, "records rejected": rejected}


def _loans(stack: Stack, tenant_id: str) -> dict[str, list[Any]]:
    """Versions with their documents, what was thought of each, and the latest of each loan as the pipeline knows it."""
    versions, assessments = [], []
    for item in _items(stack, "versions", f"A#{tenant_id}#"):
        loan = item["pk"]["S"].split("#")[2:]
        if item["sk"]["S"].startswith("v#"):
            versions.append((loan, _version(item)))
        else:
            assessed = _assessment(item)
            assessments.append((loan, assessed.version, assessed.model_version, {name: fact for name, fact in assessed.facts.items() if name not in _CLOCKS}))
    heads = [(item["pk"]["S"].split("#")[2:], item["version"], _version(item)) for item in _items(stack, "pipeline", f"A#{tenant_id}#")]
    return {"versions of loans": versions, "assessments": assessments, "latest versions": heads}


def _version(item: Mapping[str, Any]) -> tuple[Any, ...]:
    head = _head(dict(item))
    cause = (head.cause.upload_seq, head.cause.record_no)
    return (head.version, head.change, cause, head.status, head.changed_fields, head.moved_from, head.updated_at, head.document.decode())


def _book(book: Book) -> dict[str, list[Any]]:
    """What the book knows of each loan and each bucket; who holds how much of a loan is in it."""
    sells = [
        (one.originator_id, one.loan_id, one.version, one.volume, one.published, one.reserved, one.bids_made, one.state, sorted(one.held.items()))
        for one in book.sells.values()
    ]
    buys = [(one.portfolio.portfolio_id, one.bucket_id, one.published, one.reserved, one.open, one.hold) for one in book.buys.values()]
    exposures = [(one.portfolio_id, sorted(one.originators.items()), sorted(one.borrowers.items())) for one in book.portfolios.values()]
    return {"sell offers in the book": sells, "buy offers in the book": buys, "exposures in the book": exposures, "bids returned": [len(book.returned)]}


def _offers(stack: Stack, tenant_id: str) -> Iterator[tuple[Any, ...]]:
    mine = set(book_as_stored(stack, tenant_id).shown)
    for item in _items(stack, "offers", ""):
        view = _view(item)
        if view.offer_id in mine:
            bids = [(bid.no, bid.principal, bid.sell_amount, bid.state, bid.reason) for bid in view.bids]
            yield (view.loan_id, view.version, view.state, view.partial_sale, view.volume, view.filled, view.published, view.bids_total, bids)


def _items(stack: Stack, table: str, beginning: str) -> Iterator[dict[str, Any]]:
    """The items of a table whose key begins so."""
    pages = client("dynamodb", stack.aws_endpoint).get_paginator("scan").paginate(TableName=f"bourse-local-{table}", ConsistentRead=True)
    return (item for page in pages for item in page["Items"] if item["pk"]["S"].startswith(beginning))


def _bucket(stack: Stack, word: str) -> str:
    [name] = [one["Name"] for one in client("s3", stack.aws_endpoint).list_buckets()["Buckets"] if word in one["Name"]]
    return str(name)


def _counted(rows: Iterable[Any]) -> set[str]:
    texts = Counter(orjson.dumps(row, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode() for row in rows)
    return {text if times == 1 else f"{text} x {times}" for text, times in texts.items()}
