"""Nouns of intake: the upload slot, the loan as an originator describes it, its versions, and why a record is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from bourse.ids import derive, sharder
from bourse.message import Facts

SHARDS: Final = 16
"""Ordering groups per originator: loans of one shard are versioned one after the other, shards side by side."""

Minor = Annotated[int, Field(ge=0, le=2**63 - 1)]
LOAN_ID_CHARACTERS_MAX: Final = 64
# pydantic matches with Rust's regex, where `$` is the end of the text and not, as in Python, also before a last newline.
LoanId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]


class LoanStatus(StrEnum):
    """What the originator says of the loan. Only an active loan can be on sale."""

    ACTIVE = "active"
    REPAID = "repaid"
    WITHDRAWN = "withdrawn"
    DEFAULTED = "defaulted"


class Borrower(Facts):
    """Who owes the loan, as far as the originator tells; a missing attribute matches no criterion."""

    id: str | None = None
    birth_year: int | None = None
    income_month_minor: Minor | None = None
    employment: str | None = None


class Installment(Facts):
    """One scheduled repayment, in minor units of the loan's currency."""

    due_on: date
    principal_minor: Minor
    interest_minor: Minor


class LoanRecord(Facts):
    """A loan as the originator described it, in canonical form: money in minor units, rates as Decimal, dates as dates.

    The canonical JSON of exactly these facts is what is hashed, sent, and stored. `extras` keeps every unknown field.
    """

    loan_id: LoanId
    status: LoanStatus
    currency: str
    principal_minor: Minor
    outstanding_principal_minor: Minor
    interest_rate: Decimal
    """Percent per year."""
    term_months: int
    issued_on: date | None = None
    grade: str | None = None
    country: str | None = None
    borrower: Borrower | None = None
    schedule: tuple[Installment, ...] | None = None
    next_due_on: date | None = None
    days_past_due: int | None = None
    partial_sale: bool | None = None
    """None means the default: the loan may be sold in parts."""
    sellable_share: Decimal | None = None
    """Percent of the outstanding principal on offer; None means all. The rest is the originator's retention."""
    callback_url: str | None = None
    extras: dict[str, Any] | None = None


class Change(StrEnum):
    """What a record was, compared with the stored version. Each record of a file is exactly one of these."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WITHDRAWN = "withdrawn"
    """Changed, and by that no longer for sale: withdrawn, repaid or defaulted."""
    STALE = "stale"
    REJECTED = "rejected"


class UploadState(StrEnum):
    """Where a file is on its way."""

    ISSUED = "issued"
    """A slot was given; nothing has arrived yet."""
    PARKED = "parked"
    """The file is here and waits for the one before it."""
    READING = "reading"
    PROCESSING = "processing"
    """Read to its end; its chunks are being versioned."""
    PROCESSED = "processed"
    FAILED = "failed"
    """The frame broke at some place: what came before it is kept, the failure says where."""
    EXPIRED = "expired"
    """Nothing arrived in the slot's time."""
    CANCELLED = "cancelled"
    """The originator gave the slot back; the next file need not wait for it."""


class Rejection(Facts):
    """Why one record was refused, and where it stands in the file, so that its sender can find it."""

    record_no: int
    byte_offset: int
    loan_id: str | None = None
    code: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class UploadRef:
    """Names one upload: the `upload_seq`-th slot given to an originator of a tenant."""

    tenant_id: str
    originator_id: str
    upload_seq: int

    @property
    def upload_id(self) -> str:
        """`upl_<seq>_<hash>`: the sequence is readable, so the id needs no index, and the hash ties it to its owner."""
        return f"upl_{self.upload_seq:08d}_{derive('', self.tenant_id, self.originator_id, self.upload_seq)[1:13]}"

    @property
    def key(self) -> str:
        """The object key without its ending (`.bson` or `.bson.gz`)."""
        return f"{self.tenant_id}/{self.originator_id}/{self.upload_seq:08d}-{self.upload_id}"

    @classmethod
    def of(cls, tenant_id: str, originator_id: str, upload_id: str) -> "UploadRef | None":
        """The upload an id names for this originator, or None when the id is not one of his."""
        parts = upload_id.split("_")
        if len(parts) != 3 or not (parts[1].isascii() and parts[1].isdigit()):
            return None
        ref = cls(tenant_id, originator_id, int(parts[1]))
        return ref if ref.upload_id == upload_id else None

    @classmethod
    def of_key(cls, key: str) -> "UploadRef | None":
        """The upload an object key belongs to, or None when the key is not one we gave out."""
        parts = key.split("/")
        if len(parts) != 3 or "-" not in parts[2]:
            return None
        ref = cls.of(parts[0], parts[1], parts[2].split("-", 1)[1].removesuffix(".gz").removesuffix(".bson"))
        return ref if ref and key in (f"{ref.key}.bson", f"{ref.key}.bson.gz") else None


@dataclass(frozen=True, slots=True)
class Cause:
    """The record that made a version: which upload, and which record of it."""

    upload_seq: int
    record_no: int


@dataclass(frozen=True, slots=True)
class Head:
    """The latest version of a loan, as the diff needs it. Absent means the loan was never seen."""

    loan_id: str
    version: int
    content_hash: str
    updated_at: datetime | None
    status: LoanStatus
    cause: Cause
    document: bytes
    """The canonical JSON of the version's LoanRecord."""
    change: Change = Change.CREATED
    changed_fields: tuple[str, ...] = ()
    """What differs from the version before, by name: `outstanding_principal_minor`, `borrower.income_month_minor`, `schedule`."""
    moved_from: str | None = None
    """The currency of the version before, when this version moved the loan to another currency's book."""
    learned_at: datetime | None = None
    """When we versioned it; `updated_at` is when it happened, as far as the originator tells."""


def shard_of(originator_id: str, loan_id: str) -> int:
    """The ordering group of a loan among its originator's."""
    return shards_of(originator_id)(loan_id)


def shards_of(originator_id: str) -> Callable[[str], int]:
    """`shard_of` for many loans of one originator."""
    return sharder(f"{originator_id}\x00", SHARDS)
