"""Assessments kept in DynamoDB, in the append-only table of versions: pk A#tenant#originator#loan, sk assessed#version#models."""

from collections.abc import Sequence
from typing import Any

from bourse.assessment.model import Assessment
from bourse.aws import settings
from bourse.aws.clients import client
from bourse.aws.items import Item, pack, transact, transactions
from bourse.errors import Unavailable

_ATTEMPTS = 5


class DynamoAssessments:
    """An `AssessmentStore`: a hundred puts a request, each on condition that it is the first.

    By transaction and not by BatchWriteItem: that knows no conditions, and the right to it is also the right to delete.
    """

    def __init__(self, dynamodb: Any, versions: str) -> None:
        self._dynamodb = dynamodb
        self._versions = versions

    @classmethod
    def from_env(cls) -> "DynamoAssessments":
        return cls(client("dynamodb"), settings.text("TABLE_VERSIONS"))

    def keep(self, tenant_id: str, originator_id: str, assessments: Sequence[Assessment]) -> None:
        for batch in transactions([self._put(tenant_id, originator_id, one)] for one in assessments):
            self._do([unit[0] for unit in batch])

    def _do(self, puts: list[Item]) -> None:
        """Put what is not there yet: what a cancelled transaction found there already is left out, and the rest put again."""
        for _ in range(_ATTEMPTS):
            reasons = transact(self._dynamodb, puts)
            if not reasons:
                return
            puts = [put for put, reason in zip(puts, reasons, strict=True) if reason != "ConditionalCheckFailed"]
            if not puts:
                return
        raise Unavailable(f"{len(puts)} assessments are being written by another writer")

    def _put(self, tenant_id: str, originator_id: str, one: Assessment) -> Item:
        item = {
            "pk": {"S": f"A#{tenant_id}#{originator_id}#{one.loan_id}"},
            "sk": {"S": f"assessed#{one.version:010d}#{one.model_version}"},
            "body": {"B": pack(one.as_json())},
        }
        return {"Put": {"TableName": self._versions, "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}}
