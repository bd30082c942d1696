"""Everything we ever knew of one loan: its versions with what changed, and what we thought of each."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any

from bourse.assets.model import LOAN_ID_CHARACTERS_MAX, Change, Head, LoanRecord, UploadRef
from bourse.assets.versions import VersionStore
from bourse.errors import NotFound
from bourse.message import Facts


class VersionEntry(Facts):
    """One version: what the originator said, what of it was news, and which record of which upload said it."""

    version: int
    change: Change
    changed_fields: tuple[str, ...]
    updated_at: datetime | None = None
    """When it happened, as the originator tells."""
    learned_at: datetime | None = None
    """When we stored it."""
    upload_id: str
    record_no: int
    record: LoanRecord


class AssessmentEntry(Facts):
    """What a model thought of one version; `facts` holds grade, risk class, forecast and expected amounts by date."""

    version: int
    model_version: str
    facts: dict[str, Any]


class AssetHistory(Facts):
    """One loan through time, oldest version first."""

    loan_id: str
    originator_id: str
    versions: tuple[VersionEntry, ...]
    assessments: tuple[AssessmentEntry, ...]


def asset_history(tenant_id: str, originator_id: str, loan_id: str, *, versions: VersionStore) -> AssetHistory:
    """The history of one loan of this originator. Raises NotFound ASSET_UNKNOWN when it was never seen, or is somebody else's."""
    could_be = len(loan_id) <= LOAN_ID_CHARACTERS_MAX  # a longer one would be no key that the store takes
    stored, assessed = versions.history(tenant_id, originator_id, loan_id) if could_be else ((), ())
    if not stored:
        raise NotFound("ASSET_UNKNOWN", "there is no such loan", "loan_id")
    return AssetHistory(
        loan_id=loan_id,
        originator_id=originator_id,
        versions=tuple(_entry(tenant_id, originator_id, version) for version in stored),
        assessments=tuple(AssessmentEntry(version=one.version, model_version=one.model_version, facts=one.facts) for one in assessed),
    )


def _entry(tenant_id: str, originator_id: str, version: Head) -> VersionEntry:
    return VersionEntry(
        version=version.version,
        change=version.change,
        changed_fields=version.changed_fields,
        updated_at=version.updated_at,
        learned_at=version.learned_at,
        upload_id=UploadRef(tenant_id, originator_id, version.cause.upload_seq).upload_id,
        record_no=version.cause.record_no,
        record=LoanRecord.model_validate_json(version.document),
    )


def state_hash(versions: Iterable[Head]) -> str:
    """One hash of many versions, in whatever order they come: equal when the same records made the same versions, whenever that was."""
    total = 0
    for version in versions:
        facts = (version.loan_id, version.version, version.content_hash, version.change, *version.changed_fields, *_place(version))
        line = "\x00".join(map(str, facts)).encode() + b"\x00" + version.document
        total += int.from_bytes(blake2b(line, digest_size=16).digest(), "big")
    return f"{total % 2**128:032x}"


def _place(version: Head) -> tuple[int, int]:
    return version.cause.upload_seq, version.cause.record_no
