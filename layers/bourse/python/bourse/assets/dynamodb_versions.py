"""Versions and chunk results kept in DynamoDB: the table of versions is append-only, the table of the pipeline holds the heads.

versions  pk A#tenant#originator#loan  sk v#0000000001               body: the version
                                       sk assessed#0000000001#model  body: written by assessment
pipeline  pk A#tenant#originator#loan  sk head                       version, body: the latest version again
          pk F#tenant#originator#seq   sk chunk#shard#number         counts, rejections, no_news, body: what the chunk came to
"""

import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import orjson

from bourse.assets.model import Cause, Change, Head, LoanStatus, Rejection
from bourse.assets.versions import ChunkRef, ChunkResult, Made, StoredAssessment
from bourse.aws import settings
from bourse.aws.clients import client
from bourse.aws.items import Item, get_all, pack, query_all, transact, transactions, unpack

_ABSENT: Final = "attribute_not_exists(pk)"


class DynamoVersions:
    """A `VersionStore`: two puts a version in one transaction, fifty loans a transaction, two hundred heads in two reads."""

    def __init__(self, dynamodb: Any, pipeline: str, versions: str) -> None:
        self._dynamodb = dynamodb
        self._pipeline = pipeline
        self._versions = versions

    @classmethod
    def from_env(cls) -> "DynamoVersions":
        return cls(client("dynamodb"), settings.text("TABLE_PIPELINE"), settings.text("TABLE_VERSIONS"))

    def heads(self, tenant_id: str, originator_id: str, loan_ids: Sequence[str]) -> dict[str, Head]:
        keys = [{"pk": {"S": _loan(tenant_id, originator_id, loan_id)}, "sk": {"S": "head"}} for loan_id in dict.fromkeys(loan_ids)]
        found = (_head(item) for item in get_all(self._dynamodb, self._pipeline, keys))
        return {head.loan_id: head for head in found}

    def append(self, tenant_id: str, originator_id: str, versions: Sequence[Head]) -> frozenset[str]:
        fenced: set[str] = set()
        left = iter(versions)
        units = (self._puts(_loan(tenant_id, originator_id, version.loan_id), version) for version in versions)
        for batch in transactions(units):
            loans = [next(left).loan_id for _ in batch]
            reasons = transact(self._dynamodb, [action for unit in batch for action in unit])
            if reasons:
                fenced.update(loans)
                behind = [loan for loan, row, head in zip(loans, reasons[::2], reasons[1::2], strict=True) if (row, head) == (_TAKEN, "None")]
                self._mend_heads(_loan(tenant_id, originator_id, loan) for loan in behind)
        return frozenset(fenced)

    def made_by(self, tenant_id: str, originator_id: str, upload_seq: int, loan_ids: Sequence[str]) -> dict[str, Head]:
        made: dict[str, Head] = {}
        for loan_id in loan_ids:
            for version in map(_head, self._rows(_loan(tenant_id, originator_id, loan_id), "v#")):
                if version.cause.upload_seq == upload_seq:
                    made[loan_id] = version
        return made

    def history(self, tenant_id: str, originator_id: str, loan_id: str) -> tuple[tuple[Head, ...], tuple[StoredAssessment, ...]]:
        rows = list(self._rows(_loan(tenant_id, originator_id, loan_id)))
        versions = tuple(_head(row) for row in rows if row["sk"]["S"].startswith("v#"))
        assessments = tuple(_assessment(row) for row in rows if row["sk"]["S"].startswith("assessed#"))
        return versions, assessments

    def _puts(self, pk: str, version: Head) -> tuple[Item, Item]:
        """The version's row, and the head that is only replaced while it is the version before."""
        body = {"B": _packed(version)}
        row = {"pk": {"S": pk}, "sk": {"S": f"v#{version.version:010d}"}, "body": body}
        head = {"pk": {"S": pk}, "sk": {"S": "head"}, "version": {"N": str(version.version)}, "body": body}
        put = {"TableName": self._pipeline, "Item": head, "ConditionExpression": _ABSENT}
        if version.version > 1:
            put |= {"ConditionExpression": "version = :before", "ExpressionAttributeValues": {":before": {"N": str(version.version - 1)}}}
        return {"Put": {"TableName": self._versions, "Item": row, "ConditionExpression": _ABSENT}}, {"Put": put}

    def _mend_heads(self, loans: Iterable[str]) -> None:
        """A head that is behind its rows was restored from a backup, or lost: the rows are the truth, so it is made of them again."""
        for pk in loans:
            *_, last = self._rows(pk, "v#")
            head = last | {"sk": {"S": "head"}, "version": {"N": str(_head(last).version)}}
            try:
                self._dynamodb.put_item(
                    TableName=self._pipeline,
                    Item=head,
                    ConditionExpression=f"{_ABSENT} or version < :version",
                    ExpressionAttributeValues={":version": head["version"]},
                )
            except self._dynamodb.exceptions.ConditionalCheckFailedException:
                continue  # somebody else mended it or went on: the caller reads it again anyway

    def _rows(self, pk: str, beginning: str = "") -> Iterable[Item]:
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if beginning:
            condition, values = f"{condition} and begins_with(sk, :sk)", values | {":sk": {"S": beginning}}
        return query_all(self._dynamodb, TableName=self._versions, KeyConditionExpression=condition, ExpressionAttributeValues=values)


class DynamoChunks:
    """A `ChunkStore`: one item a chunk, whose counts and rejections make the status of the upload."""

    def __init__(self, dynamodb: Any, pipeline: str) -> None:
        self._dynamodb = dynamodb
        self._pipeline = pipeline

    @classmethod
    def from_env(cls) -> "DynamoChunks":
        return cls(client("dynamodb"), settings.text("TABLE_PIPELINE"))

    def result(self, ref: ChunkRef) -> ChunkResult | None:
        item = self._dynamodb.get_item(TableName=self._pipeline, Key=_chunk(ref), ConsistentRead=True).get("Item")
        return _result(item) if item else None

    def keep(self, ref: ChunkRef, result: ChunkResult) -> ChunkResult:
        made = [[one.record_no, one.version, one.change, one.changed_fields, one.moved_from] for one in result.made]
        item = _chunk(ref) | {str(change): {"N": str(result.counts.get(change, 0))} for change in Change}
        item["rejections"] = {"B": zlib.compress(orjson.dumps([rejection.model_dump(exclude_none=True) for rejection in result.rejections]))}
        item["no_news"] = {"B": pack(orjson.dumps(dict(result.no_news)))}
        item["body"] = {"B": pack(orjson.dumps({"digest": result.digest, "decided_at": result.decided_at, "made": made}))}
        try:
            self._dynamodb.put_item(TableName=self._pipeline, Item=item, ConditionExpression=_ABSENT)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            kept = self.result(ref)
            assert kept is not None, "a chunk's result is never removed"
            return kept
        return result

    def no_news_before(self, ref: ChunkRef, loan_ids: Sequence[str]) -> dict[str, int]:
        here = _chunk(ref)
        if ref.chunk_no == 0:
            return {}
        values = {":pk": here["pk"], ":first": {"S": f"chunk#{ref.shard:02d}#"}, ":last": {"S": f"chunk#{ref.shard:02d}#{ref.chunk_no - 1:06d}"}}
        between = "pk = :pk and sk between :first and :last"
        pages = query_all(
            self._dynamodb,
            TableName=self._pipeline,
            KeyConditionExpression=between,
            ExpressionAttributeValues=values,
            ProjectionExpression="no_news",
        )
        seen: dict[str, int] = {}
        asked = set(loan_ids)
        for item in pages:
            no_news = orjson.loads(unpack(_octets(item["no_news"])))
            for loan_id in asked & no_news.keys():
                seen.setdefault(loan_id, no_news[loan_id])
        return seen


_TAKEN: Final = "ConditionalCheckFailed"


def _loan(tenant_id: str, originator_id: str, loan_id: str) -> str:
    return f"A#{tenant_id}#{originator_id}#{loan_id}"


def _chunk(ref: ChunkRef) -> Item:
    pk = f"F#{ref.tenant_id}#{ref.originator_id}#{ref.upload_seq:08d}"
    return {"pk": {"S": pk}, "sk": {"S": f"chunk#{ref.shard:02d}#{ref.chunk_no:06d}"}}


def _octets(attribute: Item) -> bytes:
    return bytes(attribute["B"])


def _packed(version: Head) -> bytes:
    """A line of JSON for what we know of the version, then its document, untouched."""
    known = {
        "loan_id": version.loan_id,
        "version": version.version,
        "content_hash": version.content_hash,
        "updated_at": version.updated_at,
        "status": version.status,
        "cause": [version.cause.upload_seq, version.cause.record_no],
        "change": version.change,
        "changed_fields": version.changed_fields,
        "moved_from": version.moved_from,
        "learned_at": version.learned_at,
    }
    return pack(orjson.dumps({name: value for name, value in known.items() if value is not None}) + b"\n" + version.document)


def _head(item: Item) -> Head:
    line, _, document = unpack(_octets(item["body"])).partition(b"\n")
    known = orjson.loads(line)
    return Head(
        loan_id=known["loan_id"],
        version=known["version"],
        content_hash=known["content_hash"],
        updated_at=_time(known.get("updated_at")),
        status=LoanStatus(known["status"]),
        cause=Cause(*known["cause"]),
        document=document,
        change=Change(known["change"]),
        changed_fields=tuple(known["changed_fields"]),
        moved_from=known.get("moved_from"),
        learned_at=_time(known.get("learned_at")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _assessment(item: Item) -> StoredAssessment:
    _, version, model_version = item["sk"]["S"].split("#", 2)
    return StoredAssessment(int(version), model_version, orjson.loads(unpack(_octets(item["body"]))))


def _result(item: Item) -> ChunkResult:
    body = orjson.loads(unpack(_octets(item["body"])))
    made = tuple(Made(record_no, version, Change(change), tuple(fields), moved) for record_no, version, change, fields, moved in body["made"])
    counts = {change: number for change in Change if (number := int(item[change]["N"]))}
    rejections = tuple(Rejection.model_validate(one) for one in orjson.loads(zlib.decompress(_octets(item["rejections"]))))
    no_news = orjson.loads(unpack(_octets(item["no_news"])))
    return ChunkResult(body["digest"], datetime.fromisoformat(body["decided_at"]), counts, made, no_news, rejections)
