"""Books and shown offers kept in DynamoDB, and in S3 what is too large for an item.

books   pk book_id  sk head                version, snapshot: the book's version, and that of its newest snapshot (snapshot_3: of format 3)
                    sk journal#0000000001  body: the message that made version 1
                    sk said#<message_id>   version, body: what that message made the book say
offers  pk offer_id                        book_version, body: the offer for readers
S3      <book_id>/snapshot-0000000500      a snapshot (snapshot_3-0000000500: of format 3)
        <book_id>/large/<hash>             a body above INLINE_BYTES_MAX; the item names it in `object`

A large body goes to S3 rather than into several items: a write unit in a transaction costs twice, so 400 KB in items cost as
much as 100 objects, and it may be as large as a book can be moved by one message (100,000 bids). The object is put before the
transaction, under the hash of its content, so one that no item names does no harm.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from bourse.aws import settings
from bourse.aws.clients import client
from bourse.aws.items import ACTIONS_MAX, Item, get_all, pack, query_all, transact, unpack
from bourse.errors import Unavailable
from bourse.matching.model import OfferView
from bourse.matching.offers import from_json, merge, to_json
from bourse.matching.store import AlreadySaid, Committed, Fenced, Loaded, Said, Shown

INLINE_BYTES_MAX: Final = 300_000
"""An item holds 400 KB, names and keys included."""
_ATTEMPTS: Final = 5
_FAILED: Final = "ConditionalCheckFailed"


class DynamoBooks:
    """A `BookStore`: one transaction of three actions a message."""

    def __init__(self, dynamodb: Any, s3: Any, books: str, snapshots: str) -> None:
        self._dynamodb = dynamodb
        self._s3 = s3
        self._table = books
        self._bucket = snapshots

    @classmethod
    def from_env(cls) -> "DynamoBooks":
        return cls(client("dynamodb"), client("s3"), settings.text("TABLE_BOOKS"), settings.text("BUCKET_SNAPSHOTS"))

    def load(self, book_id: str, formats: Sequence[int]) -> Loaded:
        head = self._get(book_id, "head") or {}
        version = _number(head, "version")
        at, name = max(((_number(head, name), name) for name in map(_snapshot, formats)), default=(0, ""))
        snapshot = self._object(_snapshot_key(book_id, name, at)) if at else None
        if version == at:
            return Loaded(version, snapshot, ())
        entries = query_all(
            self._dynamodb,
            TableName=self._table,
            KeyConditionExpression="pk = :pk and sk between :first and :last",
            ExpressionAttributeValues={":pk": {"S": book_id}, ":first": {"S": _journal(at + 1)}, ":last": {"S": _journal(version)}},
        )
        journal = tuple(self._body(entry) for entry in entries)
        assert len(journal) == version - at, f"the journal of {book_id} has {len(journal)} entries from {at} to {version}"
        return Loaded(version, snapshot, journal)

    def said(self, book_id: str, message_id: str) -> Said | None:
        item = self._get(book_id, f"said#{message_id}")
        return Said(_number(item, "version"), self._body(item)) if item else None

    def commit(self, book_id: str, expected_version: int, entry: bytes, outputs: bytes, message_id: str) -> Committed | AlreadySaid | Fenced:
        next_version = expected_version + 1
        said = {"version": {"N": str(next_version)}} | self._placed(book_id, outputs)
        reasons = transact(
            self._dynamodb,
            [
                {"Update": self._advance(book_id, expected_version)},
                self._put(book_id, _journal(next_version), self._placed(book_id, entry)),
                self._put(book_id, f"said#{message_id}", said),
            ],
        )
        if not reasons:
            return Committed()
        if _FAILED in reasons:
            # A retry of the client may find its own write: the marker tells, whatever action failed first.
            before = self.said(book_id, message_id)
            return AlreadySaid(before) if before else Fenced()
        raise Unavailable("another transaction was writing this book")

    def save_snapshot(self, book_id: str, version: int, snapshot_format: int, snapshot: bytes) -> None:
        name = _snapshot(snapshot_format)
        self._s3.put_object(Bucket=self._bucket, Key=_snapshot_key(book_id, name, version), Body=snapshot)
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_key(book_id, "head"),
                UpdateExpression="SET #snapshot = :version",
                ConditionExpression="attribute_not_exists(#snapshot) OR #snapshot < :version",
                ExpressionAttributeNames={"#snapshot": name},
                ExpressionAttributeValues={":version": {"N": str(version)}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return  # a newer one is there

    def _advance(self, book_id: str, expected_version: int) -> Item:
        """The fence: the head goes from the expected version to the next, or nothing is written."""
        values = {":next": {"N": str(expected_version + 1)}}
        if expected_version:
            values[":expected"] = {"N": str(expected_version)}
        return {
            "TableName": self._table,
            "Key": _key(book_id, "head"),
            "UpdateExpression": "SET #version = :next",
            "ConditionExpression": "#version = :expected" if expected_version else "attribute_not_exists(pk)",
            "ExpressionAttributeNames": {"#version": "version"},
            "ExpressionAttributeValues": values,
        }

    def _put(self, book_id: str, sk: str, attributes: Item) -> Item:
        item = _key(book_id, sk) | attributes
        return {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}

    def _placed(self, book_id: str, text: bytes) -> Item:
        """The attribute that holds a body, or names the object that does."""
        body = pack(text)
        if len(body) <= INLINE_BYTES_MAX:
            return {"body": {"B": body}}
        key = f"{book_id}/large/{blake2b(body, digest_size=20).hexdigest()}"
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)
        return {"object": {"S": key}}

    def _body(self, item: Item) -> bytes:
        return unpack(bytes(item["body"]["B"]) if "body" in item else self._object(item["object"]["S"]))

    def _object(self, key: str) -> bytes:
        octets: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return octets

    def _get(self, book_id: str, sk: str) -> Item | None:
        item: Item | None = self._dynamodb.get_item(TableName=self._table, Key=_key(book_id, sk), ConsistentRead=True).get("Item")
        return item


class DynamoOffers:
    """An `OfferStore`: rows are read, merged, and put on the condition that they are as they were read; again when not."""

    def __init__(self, dynamodb: Any, offers: str) -> None:
        self._dynamodb = dynamodb
        self._table = offers

    @classmethod
    def from_env(cls) -> "DynamoOffers":
        return cls(client("dynamodb"), settings.text("TABLE_OFFERS"))

    def show(self, shown: Sequence[Shown]) -> None:
        for start in range(0, len(shown), ACTIONS_MAX):
            batch = shown[start : start + ACTIONS_MAX]
            if not any(self._show(batch) for _ in range(_ATTEMPTS)):
                raise Unavailable("rows of offers kept changing while they were written")

    def view(self, offer_id: str) -> OfferView | None:
        item = self._dynamodb.get_item(TableName=self._table, Key={"pk": {"S": offer_id}}).get("Item")
        return _view(item) if item else None

    def _show(self, shown: Sequence[Shown]) -> bool:
        """One attempt at up to a hundred rows. False when another writer was faster; nothing is written then."""
        rows = dict(self._rows(one.change.offer_id for one in shown))
        puts = []
        for one in shown:
            before, digest = rows.get(one.change.offer_id, (None, None))
            if (after := merge(before, one)) != before:
                puts.append(self._put(after, digest))
        return not puts or not transact(self._dynamodb, puts)

    def _rows(self, offer_ids: Iterable[str]) -> Iterable[tuple[str, tuple[OfferView, str]]]:
        for item in get_all(self._dynamodb, self._table, [{"pk": {"S": offer_id}} for offer_id in offer_ids]):
            yield item["pk"]["S"], (_view(item), item["digest"]["S"])

    def _put(self, view: OfferView, read: str | None) -> Item:
        """A row's digest is its revision: two writers at one book version may still add different bids."""
        text = to_json(view)
        item = {
            "pk": {"S": view.offer_id},
            "book_version": {"N": str(view.book_version)},
            "digest": {"S": blake2b(text, digest_size=12).hexdigest()},
            "body": {"B": pack(text)},
        }
        if read is None:
            return {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}
        condition = {"ConditionExpression": "digest = :read", "ExpressionAttributeValues": {":read": {"S": read}}}
        return {"Put": {"TableName": self._table, "Item": item} | condition}


def _view(item: Item) -> OfferView:
    return from_json(unpack(bytes(item["body"]["B"])))


def _key(book_id: str, sk: str) -> Item:
    return {"pk": {"S": book_id}, "sk": {"S": sk}}


def _journal(version: int) -> str:
    return f"journal#{version:010d}"


def _snapshot(snapshot_format: int) -> str:
    """What a format's snapshots are called; the first two have no number, as they were there before names had one."""
    return "snapshot" if snapshot_format <= 2 else f"snapshot_{snapshot_format}"


def _snapshot_key(book_id: str, name: str, version: int) -> str:
    return f"{book_id}/{name}-{version:010d}"


def _number(item: Item, name: str) -> int:
    return int(item[name]["N"]) if name in item else 0
