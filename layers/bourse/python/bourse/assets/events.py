"""What assets say: a file arrived, its records were read, loans have new versions, loans are closed or no longer for sale."""

from datetime import datetime
from typing import ClassVar, Final, Literal

from bourse.ids import derive
from bourse.message import Facts, Message

_ASSET_KIND: Final = "loan"


def book_of(tenant_id: str, currency: str, asset_kind: str = _ASSET_KIND) -> str:
    """The id of the book an asset is traded in: one writer each."""
    return f"{tenant_id}/{currency}/{asset_kind}"


def offer_id_of(tenant_id: str, originator_id: str, loan_id: str) -> str:
    """The id of the one sell offer a loan can have; its versions are the asset's versions."""
    return derive("off", tenant_id, originator_id, loan_id)


class UploadReady(Message):
    """An upload may be read (on): its object arrived, its predecessor closed, or the last invocation ran out of time."""

    kind: ClassVar[str] = "upload_ready.v1"
    originator_id: str
    upload_seq: int
    key: str

    def group(self) -> str:
        return f"{self.tenant_id}/{self.originator_id}"


class RecordRef(Facts):
    """One accepted record: its place in the file, and what is needed to tell whether it is news."""

    record_no: int
    byte_offset: int
    loan_id: str
    content_hash: str
    updated_at: datetime | None = None


class RecordsRead(Message):
    """A chunk of accepted records of one shard. `documents` is zlib of their canonical JSON, one a line, in the records' order."""

    kind: ClassVar[str] = "records_read.v1"
    compresses: ClassVar[bool] = False
    originator_id: str
    upload_seq: int
    chunk_no: int
    shard: int
    records: tuple[RecordRef, ...]
    documents: bytes

    def group(self) -> str:
        return f"{self.tenant_id}/{self.originator_id}/{self.shard:02d}"


class AssetVersion(Facts):
    """One new version of a loan. `document` is the canonical JSON of its `LoanRecord` (assets/model.py)."""

    loan_id: str
    version: int
    change: Literal["created", "changed", "withdrawn"]
    changed_fields: tuple[str, ...] = ()
    document: str


class AssetsVersioned(Message):
    """Loans of one shard that are new or changed and can be on sale: to be assessed."""

    kind: ClassVar[str] = "assets_versioned.v1"
    originator_id: str
    upload_seq: int
    shard: int
    said_at: datetime
    assets: tuple[AssetVersion, ...]

    def group(self) -> str:
        return f"{self.tenant_id}/{self.originator_id}/{self.shard:02d}"


class OfferWithdrawal(Facts):
    """From `version` on the loan is not for sale. Offers of lower versions are void, also those still on their way."""

    offer_id: str
    loan_id: str
    version: int
    reason: Literal["repaid", "withdrawn", "defaulted", "not_eligible"]


class OffersWithdrawn(Message):
    """Loans of one book that are no longer for sale."""

    kind: ClassVar[str] = "offers_withdrawn.v1"
    book_id: str
    said_at: datetime
    withdrawals: tuple[OfferWithdrawal, ...]

    def group(self) -> str:
        return self.book_id


class ClosedLoan(Facts):
    """A loan the originator says is over, with the version that says so."""

    loan_id: str
    version: int
    status: Literal["repaid", "withdrawn", "defaulted"]


class LoansClosed(Message):
    """Loans that must not be settled any more; investors who hold a part of them are owed what follows."""

    kind: ClassVar[str] = "loans_closed.v1"
    originator_id: str
    said_at: datetime
    loans: tuple[ClosedLoan, ...]

    def group(self) -> str:
        return f"{self.tenant_id}/{self.originator_id}"
