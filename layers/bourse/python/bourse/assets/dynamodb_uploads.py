"""Upload slots and rejections kept in DynamoDB's table of the pipeline.

pk U#tenant#originator      sk counter            last: the last upload number given
                            sk slot#00000012      revision, state, body: the slot
                            sk asked#key          digest, seq: the slot a request key was given
pk OPEN#0 .. OPEN#7         sk tenant#originator#00000012   while the slot is not closed: what the sweep looks after
pk F#tenant#originator#seq  sk rejections#segment#part      body: at most 1,000 rejections of a segment
                            sk chunk#shard#number           written by versioning: counts, rejections
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from bourse.assets.model import Rejection, UploadRef
from bourse.assets.uploads import Block, ChunkTotals, Slot
from bourse.aws import settings
from bourse.aws.clients import client
from bourse.aws.items import Item, pack, query_all, transact, unpack
from bourse.errors import Conflict, Unavailable
from bourse.ids import shard

_ABSENT: Final = "attribute_not_exists(pk)"
_OPEN_PARTS: Final = 8
_BLOCK: Final = 1_000
_ATTEMPTS: Final = 8
_SUMMED: Final = ("created", "changed", "unchanged", "withdrawn", "stale", "rejected")


class DynamoUploads:
    """An `UploadStore`: one item a slot, changed under the condition that it is still the revision before."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    @classmethod
    def from_env(cls) -> "DynamoUploads":
        return cls(client("dynamodb"), settings.text("TABLE_PIPELINE"))

    def issue(self, first: Slot, request: tuple[str, str] | None) -> Slot:
        owner = _owner(first.ref)
        for _ in range(_ATTEMPTS):
            if request and (given := self._given(owner, first.ref, *request)):
                return given
            counter = self._item(owner, "counter")
            last = int(counter["last"]["N"]) if counter else 0
            slot = first.model_copy(update={"upload_seq": last + 1})
            if not transact(self._dynamodb, self._issuing(owner, slot, request)):
                return slot
        raise Unavailable("too many uploads are asked for at once")

    def _given(self, owner: str, ref: UploadRef, key: str, digest: str) -> Slot | None:
        """The slot this request key was given."""
        asked = self._item(owner, f"asked#{key}")
        if asked is None:
            return None
        if asked["digest"]["S"] != digest:
            raise Conflict("IDEMPOTENCY_KEY_REUSED", "this key was used for another request")
        return self.slot(UploadRef(ref.tenant_id, ref.originator_id, int(asked["seq"]["N"])))

    def _issuing(self, owner: str, slot: Slot, request: tuple[str, str] | None) -> list[Item]:
        """Counter, slot, open mark and request key in one transaction, so that numbers have no gaps."""
        last = {"N": str(slot.upload_seq)}
        counter: Item = {"TableName": self._table, "Item": {**_key(owner, "counter"), "last": last}, "ConditionExpression": _ABSENT}
        if slot.upload_seq > 1:
            counter |= {
                "ConditionExpression": "#last = :before",
                "ExpressionAttributeNames": {"#last": "last"},
                "ExpressionAttributeValues": {":before": {"N": str(slot.upload_seq - 1)}},
            }
        items = [_slot_item(slot), _open_key(slot.ref)]
        if request:
            items.append({**_key(owner, f"asked#{request[0]}"), "digest": {"S": request[1]}, "seq": last})
        return [{"Put": counter}, *({"Put": {"TableName": self._table, "Item": item, "ConditionExpression": _ABSENT}} for item in items)]

    def slot(self, ref: UploadRef) -> Slot | None:
        item = self._item(_owner(ref), _slot_name(ref))
        return _slot(item) if item else None

    def replace(self, slot: Slot) -> bool:
        put = {
            "TableName": self._table,
            "Item": _slot_item(slot),
            "ConditionExpression": "revision = :before",
            "ExpressionAttributeValues": {":before": {"N": str(slot.revision - 1)}},
        }
        if slot.closed:
            return not transact(self._dynamodb, [{"Put": put}, {"Delete": {"TableName": self._table, "Key": _open_key(slot.ref)}}])
        try:
            self._dynamodb.put_item(**put)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def before(self, ref: UploadRef) -> Iterator[Slot]:
        return self._slots(ref, "slot#00000000", f"slot#{ref.upload_seq - 1:08d}", forward=False)

    def after(self, ref: UploadRef) -> Iterator[Slot]:
        return self._slots(ref, f"slot#{ref.upload_seq + 1:08d}", "slot#99999999", forward=True)

    def _slots(self, ref: UploadRef, first: str, last: str, *, forward: bool) -> Iterator[Slot]:
        if first > last:
            return
        query = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk and sk between :first and :last",
            "ExpressionAttributeValues": {":pk": {"S": _owner(ref)}, ":first": {"S": first}, ":last": {"S": last}},
            "ScanIndexForward": forward,
            "Limit": 5,  # callers mostly look at one
        }
        yield from map(_slot, query_all(self._dynamodb, **query))

    def open(self) -> Iterator[UploadRef]:
        for part in range(_OPEN_PARTS):
            for item in self._under(f"OPEN#{part}", ""):
                tenant_id, originator_id, seq = item["sk"]["S"].split("#")
                yield UploadRef(tenant_id, originator_id, int(seq))

    def keep_rejections(self, ref: UploadRef, segment: int, rejections: Sequence[Rejection]) -> None:
        for part, start in enumerate(range(0, len(rejections), _BLOCK)):
            block = [one.model_dump(exclude_none=True) for one in rejections[start : start + _BLOCK]]
            body = {"B": zlib.compress(orjson.dumps(block), 6)}
            self._dynamodb.put_item(TableName=self._table, Item={**_key(_file(ref), f"rejections#{segment:06d}#{part:02d}"), "body": body})

    def rejections(self, ref: UploadRef, start: str = "") -> Iterator[Block]:
        file = _file(ref)
        if not start.startswith("chunk#"):
            for item in self._under(file, "rejections#", start):
                yield item["sk"]["S"], _rejections(unpack(bytes(item["body"]["B"])))
            start = ""
        only = {"FilterExpression": "rejected > :none", "ProjectionExpression": "sk, rejections"}
        for item in self._under(file, "chunk#", start, {":none": {"N": "0"}}, **only):
            yield item["sk"]["S"], _rejections(zlib.decompress(bytes(item["rejections"]["B"])))

    def totals(self, ref: UploadRef) -> ChunkTotals:
        sums = dict.fromkeys(_SUMMED, 0)
        chunks = 0
        for item in self._under(_file(ref), "chunk#", ProjectionExpression=", ".join(_SUMMED)):
            chunks += 1
            for name in _SUMMED:
                sums[name] += int(item[name]["N"])
        return ChunkTotals(chunks=chunks, **sums)

    def _under(self, pk: str, prefix: str, start: str = "", values: Item | None = None, **more: str) -> Iterator[Item]:
        """The items of a partition whose sort key begins with `prefix`, from `start` on."""
        names: Item = {":pk": {"S": pk}, **(values or {})}
        condition = "pk = :pk"
        if prefix:
            first, last = max(prefix, start), f"{prefix}~"
            if first > last:
                return iter(())  # DynamoDB refuses such a range, and a cursor can be made up
            condition += " and sk between :first and :last"
            names |= {":first": {"S": first}, ":last": {"S": last}}
        return query_all(self._dynamodb, TableName=self._table, KeyConditionExpression=condition, ExpressionAttributeValues=names, **more)

    def _item(self, pk: str, sk: str) -> Item | None:
        item: Item | None = self._dynamodb.get_item(TableName=self._table, Key=_key(pk, sk), ConsistentRead=True).get("Item")
        return item


def _owner(ref: UploadRef) -> str:
    return f"U#{ref.tenant_id}#{ref.originator_id}"


def _file(ref: UploadRef) -> str:
    return f"F#{ref.tenant_id}#{ref.originator_id}#{ref.upload_seq:08d}"


def _slot_name(ref: UploadRef) -> str:
    return f"slot#{ref.upload_seq:08d}"


def _open_key(ref: UploadRef) -> Item:
    name = f"{ref.tenant_id}#{ref.originator_id}#{ref.upload_seq:08d}"
    return _key(f"OPEN#{shard(name, _OPEN_PARTS)}", name)


def _key(pk: str, sk: str) -> Item:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _slot_item(slot: Slot) -> Item:
    body = slot.model_dump_json(exclude_none=True, exclude_defaults=True).encode()
    return {
        **_key(_owner(slot.ref), _slot_name(slot.ref)),
        "revision": {"N": str(slot.revision)},
        "state": {"S": str(slot.state)},
        "body": {"B": pack(body)},
    }


def _slot(item: Item) -> Slot:
    return Slot.model_validate_json(unpack(bytes(item["body"]["B"])))


def _rejections(text: bytes) -> tuple[Rejection, ...]:
    return tuple(Rejection.model_validate(one) for one in orjson.loads(text))
