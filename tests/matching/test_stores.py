"""The promises of the stores of matching, kept in memory and in DynamoDB with S3 alike."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from bourse.matching import dynamodb as adapter
from bourse.matching.codec import FORMAT, FORMATS
from bourse.matching.dynamodb import DynamoBooks, DynamoOffers
from bourse.matching.memory import MemoryBooks, MemoryOffers
from bourse.matching.model import BidView, OfferChange, OfferState
from bourse.matching.offers import BIDS_SHOWN_MAX, offer_view
from bourse.matching.store import AlreadySaid, BookStore, Committed, Fenced, Loaded, OfferStore, Said, Shown
from moto import mock_aws

from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_tables import Table
from tests.simulation.s3 import S3Client

BOOK = "demo/USD/loan"


@pytest.fixture
def aws() -> Iterator[tuple[Any, Any]]:
    with mock_aws():
        session = boto3.Session("test", "test", region_name="us-east-1")
        dynamodb, s3 = session.client("dynamodb"), session.client("s3")
        make_tables(dynamodb, s3)
        yield dynamodb, s3


def make_tables(dynamodb: Any, s3: Any) -> None:
    text = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    dynamodb.create_table(TableName="books", AttributeDefinitions=text, KeySchema=keys, BillingMode="PAY_PER_REQUEST")
    dynamodb.create_table(TableName="offers", AttributeDefinitions=text[:1], KeySchema=keys[:1], BillingMode="PAY_PER_REQUEST")
    s3.create_bucket(Bucket="snapshots")


@pytest.fixture
def simulated() -> tuple[DynamoClient, S3Client]:
    return DynamoClient({"books": Table("books"), "offers": Table("offers", ("pk",))}), S3Client({})


@pytest.fixture(params=["memory", "aws", "simulated"])
def books(request: pytest.FixtureRequest) -> BookStore:
    return MemoryBooks() if request.param == "memory" else DynamoBooks(*request.getfixturevalue(request.param), "books", "snapshots")


@pytest.fixture(params=["memory", "aws", "simulated"])
def offers(request: pytest.FixtureRequest) -> OfferStore:
    return MemoryOffers() if request.param == "memory" else DynamoOffers(request.getfixturevalue(request.param)[0], "offers")


def test_a_book_never_heard_of_is_empty(books: BookStore) -> None:
    assert books.load(BOOK, FORMATS) == Loaded(0, None, ())
    assert books.said(BOOK, "m1") is None


def test_what_was_committed_is_loaded_in_order_and_what_was_said_is_found(books: BookStore) -> None:
    for version in range(12):
        assert books.commit(BOOK, version, b'{"entry":%d}' % version, b'{"out":%d}' % version, f"m{version}") == Committed()
    assert books.load(BOOK, FORMATS) == Loaded(12, None, tuple(b'{"entry":%d}' % version for version in range(12)))
    assert books.said(BOOK, "m3") == Said(4, b'{"out":3}')
    assert books.said("demo/EUR/loan", "m3") is None


def test_a_writer_at_an_old_version_is_fenced_and_changes_nothing(books: BookStore) -> None:
    books.commit(BOOK, 0, b"{}", b"{}", "m1")
    assert books.commit(BOOK, 0, b'{"other":1}', b"{}", "m2") == Fenced()
    assert books.commit(BOOK, 7, b'{"other":1}', b"{}", "m2") == Fenced()
    assert books.load(BOOK, FORMATS) == Loaded(1, None, (b"{}",))
    assert books.said(BOOK, "m2") is None


@pytest.mark.parametrize("expected", [0, 1])
def test_a_message_is_committed_once_whatever_version_its_writer_expects(books: BookStore, expected: int) -> None:
    books.commit(BOOK, 0, b"{}", b'{"first":1}', "m1")
    assert books.commit(BOOK, expected, b"{}", b'{"second":1}', "m1") == AlreadySaid(Said(1, b'{"first":1}'))
    assert books.load(BOOK, FORMATS).version == 1


def test_a_snapshot_stands_for_the_journal_before_it_and_the_newest_counts(books: BookStore) -> None:
    for version in range(5):
        books.commit(BOOK, version, b"{%d}" % version, b"{}", f"m{version}")
    books.save_snapshot(BOOK, 3, FORMAT, b"x\x9cthree")
    assert books.load(BOOK, FORMATS) == Loaded(5, b"x\x9cthree", (b"{3}", b"{4}"))
    books.save_snapshot(BOOK, 5, FORMAT, b"x\x9cfive")
    books.save_snapshot(BOOK, 3, FORMAT, b"x\x9cthree")
    assert books.load(BOOK, FORMATS) == Loaded(5, b"x\x9cfive", ())
    assert len(books.load(BOOK, ()).journal) == 5


def test_snapshots_of_another_format_are_neither_met_nor_replaced(books: BookStore) -> None:
    for version in range(5):
        books.commit(BOOK, version, b"{%d}" % version, b"{}", f"m{version}")
    books.save_snapshot(BOOK, 3, 2, b"old")
    books.save_snapshot(BOOK, 4, 3, b"new")
    assert books.load(BOOK, (2,)) == Loaded(5, b"old", (b"{3}", b"{4}"))
    assert books.load(BOOK, (3, 2)) == books.load(BOOK, (3,)) == Loaded(5, b"new", (b"{4}",))
    books.save_snapshot(BOOK, 4, 2, b"old again")
    assert books.load(BOOK, (3,)).snapshot == b"new", "at the same version too"
    books.save_snapshot(BOOK, 5, 2, b"older code goes on")
    assert books.load(BOOK, (3, 2)) == Loaded(5, b"older code goes on", ()), "newer code reads what is newest"


def test_a_message_and_outputs_too_large_for_an_item_are_kept_whole(books: BookStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "INLINE_BYTES_MAX", 500)
    entry, outputs = _noise(900), _noise(1_000_000)
    assert books.commit(BOOK, 0, entry, outputs, "m1") == Committed()
    assert books.said(BOOK, "m1") == Said(1, outputs)
    assert books.load(BOOK, FORMATS) == Loaded(1, None, (entry,))


def _noise(octets: int) -> bytes:
    """JSON that does not compress well."""
    return ("[" + ",".join(str(number * 2_654_435_761 % 4_294_967_296) for number in range(octets // 10)) + "]").encode()


def bid(no: int, principal: int = 10) -> BidView:
    return BidView(no, f"bid-{no}", "b1", principal, principal)


def change(bids_total: int, published: int, state: OfferState = OfferState.PARTIALLY_FILLED, returned: tuple[tuple[str, str], ...] = ()) -> OfferChange:
    return OfferChange("s1", "loan-s1", 1, state, True, 100, published, published, bids_total, returned)


FIRST = Shown(change(2, 20), 4, (bid(1), bid(2)))
SECOND = Shown(change(3, 20, returned=(("bid-1", "loan_closed"),)), 6, (bid(3),))


def test_an_offer_without_bids_has_no_row(offers: OfferStore) -> None:
    assert offer_view("s1", offers=offers) is None


@pytest.mark.parametrize("order", [(FIRST, SECOND), (FIRST, SECOND, FIRST), (FIRST, SECOND, SECOND, FIRST)])
def test_an_offer_is_shown_at_its_newest_however_often_and_late_older_news_comes(offers: OfferStore, order: tuple[Shown, ...]) -> None:
    for shown in order:
        offers.show([shown])
    view = offers.view("s1")
    assert view is not None
    assert (view.book_version, view.bids_total, view.published) == (6, 3, 20)
    assert [(one.no, one.state, one.reason) for one in view.bids] == [(1, "returned", "loan_closed"), (2, "published", None), (3, "published", None)]


def test_bids_of_a_version_that_is_shown_late_are_added(offers: OfferStore) -> None:
    offers.show([Shown(change(3, 30), 6, (bid(3),))])
    offers.show([FIRST])
    view = offers.view("s1")
    assert view is not None
    assert (view.book_version, [one.no for one in view.bids]) == (6, [1, 2, 3])


def test_a_row_keeps_the_newest_bids_and_counts_all(offers: OfferStore) -> None:
    offers.show([Shown(change(250, 100), 4, tuple(bid(no) for no in range(1, 251)))])
    view = offers.view("s1")
    assert view is not None
    assert (view.bids_total, [one.no for one in view.bids]) == (250, list(range(251 - BIDS_SHOWN_MAX, 251)))


def test_many_offers_are_shown_at_once(offers: OfferStore) -> None:
    many = [Shown(OfferChange(f"s{n}", f"l{n}", 1, OfferState.FILLED, True, 10, 10, 10, 1), 1, (bid(1),)) for n in range(230)]
    offers.show(many)
    offers.show(many)
    assert all(offers.view(f"s{n}") for n in range(230))


def test_a_row_another_writer_changed_meanwhile_is_read_and_merged_again(aws: tuple[Any, Any]) -> None:
    class Interrupted:
        """Another writer shows the second message between this one's read and write."""

        def __getattr__(self, name: str) -> Any:
            return getattr(aws[0], name)

        def transact_write_items(self, **request: Any) -> Any:
            if not self.__dict__.get("done"):
                self.__dict__["done"] = True
                DynamoOffers(aws[0], "offers").show([SECOND])
            return aws[0].transact_write_items(**request)

    DynamoOffers(aws[0], "offers").show([FIRST])
    late = Shown(change(2, 20), 5, (bid(2, 99),))
    DynamoOffers(Interrupted(), "offers").show([late])
    view = DynamoOffers(aws[0], "offers").view("s1")
    assert view is not None
    assert (view.book_version, len(view.bids)) == (6, 3)


def test_bids_that_have_one_number_stand_in_one_order_however_they_came(offers: OfferStore) -> None:
    """A returned bid's number may be given again: a simulated world found rows that depended on what was shown first."""
    one, other = Shown(change(1, 10), 4, (bid(1),)), Shown(change(1, 10), 5, (BidView(1, "bid-0", "b1", 10, 10),))
    rows = []
    for offer_id, order in (("s1", (one, other)), ("s2", (other, one))):
        for shown in order:
            offers.show([Shown(replace(shown.change, offer_id=offer_id), shown.book_version, shown.bids)])
        view = offers.view(offer_id)
        assert view is not None
        rows.append([bid.bid_id for bid in view.bids])
    assert rows == [["bid-0", "bid-1"]] * 2
