"""The adapters of DynamoDB as they are deployed, on the simulation's DynamoDB; and what promises read of its tables."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final

from bourse.assets import dynamodb_uploads, dynamodb_versions
from bourse.assets.dynamodb_uploads import DynamoUploads
from bourse.assets.dynamodb_versions import DynamoChunks, DynamoVersions
from bourse.assets.events import offer_id_of
from bourse.assets.model import Head, UploadRef
from bourse.assets.uploads import Slot
from bourse.assets.versions import ChunkRef, ChunkResult
from bourse.matching.dynamodb import DynamoBooks, DynamoOffers

from tests.simulation.dynamodb import DynamoClient
from tests.simulation.dynamodb_tables import Item, Key, Table
from tests.simulation.environments import OURS, Code
from tests.simulation.people import People
from tests.simulation.s3 import S3Client

if TYPE_CHECKING:
    from tests.simulation.world import World

Loan = tuple[str, str, str]
PORTS: Final = ("uploads", "versions", "chunks", "assessments", "books", "offers")
INLINE_OCTETS_MAX: Final = 700
"""Small enough that worlds meet bodies too large for an item."""


class Stirred:
    """At each call, what the seed of the world says."""

    def __init__(self, world: "World", tenant_of_offer: Mapping[str, str]) -> None:
        self._world, self._tenant_of_offer = world, tenant_of_offer
        self.cut, self.strikes, self.meanwhile = world.cut, world._strikes, world.go_on
        self.chosen: Callable[[int], int] = world.random.randrange

    def touches(self, operation: str, table: str, pk: str, sk: str) -> None:
        """Whose item it is stands in its key; of all open slots of everybody in the sort key."""
        if table == "offers":
            tenant_id = self._tenant_of_offer.get(pk, "")
        elif table == "books":
            tenant_id = pk.partition("/")[0]
        else:
            tenant_id = sk.partition("#")[0] if pk.startswith("OPEN#") else pk.split("#", 2)[1]
        self._world._watch(f"dynamodb.{operation}", (tenant_id,))


class Tables:
    """The four tables and the bucket of snapshots of one world."""

    def __init__(self, people: People) -> None:
        self.tables: Final = {name: Table(name) for name in ("pipeline", "versions", "books")} | {"offers": Table("offers", ("pk",))}
        self.objects: Final[dict[tuple[str, str], bytes]] = {}
        self.tenant_of_offer: Final = {offer_id_of(one.tenant_id, one.originator_id, loan): one.tenant_id for one in people.files for loan, *_ in one.facts}
        client, s3 = DynamoClient(self.tables), S3Client(self.objects)
        self.uploads: Final = KeptUploads(client, self.tables["pipeline"])
        self.versions: Final = KeptVersions(client, self.tables["pipeline"], self.tables["versions"])
        self.chunks: Final = KeptChunks(client, self.tables["pipeline"])
        self.assessments: Final = KeptAssessments(self.tables["versions"])
        self.books: Final = KeptBooks(client, s3, self.tables["books"])
        self.offers: Final = DynamoOffers(client, "offers")

    def ports(self, world: "World", code: Code = OURS) -> dict[str, Any]:
        """The adapters that functions of this code get, by the names of their ports. They are looked up now: a planted fault may have changed them."""
        around = Stirred(world, self.tenant_of_offer)
        patient = getattr(code.module("bourse.aws.clients"), "Patient", lambda client: client)
        client, s3 = patient(DynamoClient(self.tables, around)), patient(S3Client(self.objects, around.cut))
        uploads, versions = code.module("bourse.assets.dynamodb_uploads"), code.module("bourse.assets.dynamodb_versions")
        matching = code.module("bourse.matching.dynamodb")
        return {
            "uploads": uploads.DynamoUploads(client, "pipeline"),
            "versions": versions.DynamoVersions(client, "pipeline", "versions"),
            "chunks": versions.DynamoChunks(client, "pipeline"),
            "assessments": code.module("bourse.assessment.dynamodb").DynamoAssessments(client, "versions"),
            "books": matching.DynamoBooks(client, s3, "books", "snapshots"),
            "offers": matching.DynamoOffers(client, "offers"),
        }

    def lose_a_head(self, random: Random) -> None:
        """The latest version of some loan is not known where it is looked up."""
        pipeline = self.tables["pipeline"]
        if heads := [key for key in pipeline.items if key[1] == "head"]:
            pipeline.write(heads[random.randrange(len(heads))], None)


@contextmanager
def small(*codes: Code) -> Iterator[None]:
    """What does not fit into an item is small."""
    modules = [code.module("bourse.matching.dynamodb") for code in codes]
    was = [module.INLINE_BYTES_MAX for module in modules]
    for module in modules:
        module.INLINE_BYTES_MAX = INLINE_OCTETS_MAX
    try:
        yield
    finally:
        for module, octets in zip(modules, was, strict=True):
            module.INLINE_BYTES_MAX = octets


class _News:
    """Reads each write of a table once."""

    def __init__(self, table: Table, note: Callable[[Key, Item | None], None]) -> None:
        self._written, self._note, self._read = table.written, note, 0

    def read(self) -> None:
        while self._read < len(self._written):
            key, _, after = self._written[self._read]
            self._read += 1
            self._note(key, after)


class KeptUploads(DynamoUploads):
    """`slots` as `MemoryUploads` has them."""

    def __init__(self, client: DynamoClient, pipeline: Table) -> None:
        super().__init__(client, pipeline.name)
        self._slots_of: dict[UploadRef, Slot] = {}
        self._news = _News(pipeline, self._note)

    @property
    def slots(self) -> dict[UploadRef, Slot]:
        self._news.read()
        return self._slots_of

    def _note(self, key: Key, item: Item | None) -> None:
        if key[1].startswith("slot#"):
            assert item is not None, "a slot is never removed"
            slot = dynamodb_uploads._slot(item)
            before = self._slots_of.get(slot.ref)
            assert slot.revision == (before.revision if before else 0) + 1, f"a slot was kept over another's change: {before} {slot}"
            self._slots_of[slot.ref] = slot


class KeptVersions(DynamoVersions):
    """`stored` as `MemoryVersions` has it: the rows of each loan in the order they were written."""

    def __init__(self, client: DynamoClient, pipeline: Table, versions: Table) -> None:
        super().__init__(client, pipeline.name, versions.name)
        self._rows_of: dict[Loan, tuple[Head, ...]] = {}
        self._heads: dict[Loan, int] = {}
        self._news, self._news_of_heads = _News(versions, self._note), _News(pipeline, self._note_head)

    @property
    def stored(self) -> dict[Loan, tuple[Head, ...]]:
        self._news.read()
        self._news_of_heads.read()
        for loan, version in self._heads.items():
            assert self._rows_of[loan][-1].version == version, f"the head of {loan} is not its latest version: {version}"
        self._heads.clear()
        return self._rows_of

    def _note_head(self, key: Key, item: Item | None) -> None:
        if key[1] == "head" and item is not None:
            self._heads[_loan(key)] = int(item["version"]["N"])

    def _note(self, key: Key, item: Item | None) -> None:
        if key[1].startswith("v#"):
            assert item is not None, "a version is never removed"
            loan = _loan(key)
            self._rows_of[loan] = (*self._rows_of.get(loan, ()), dynamodb_versions._head(item))


class KeptChunks(DynamoChunks):
    """`kept` as `MemoryChunks` has it."""

    def __init__(self, client: DynamoClient, pipeline: Table) -> None:
        super().__init__(client, pipeline.name)
        self._results: dict[ChunkRef, ChunkResult] = {}
        self._news = _News(pipeline, self._note)

    @property
    def kept(self) -> dict[ChunkRef, ChunkResult]:
        self._news.read()
        return self._results

    def _note(self, key: Key, item: Item | None) -> None:
        if key[1].startswith("chunk#"):
            assert item is not None, "what came of a chunk is never removed"
            _, tenant_id, originator_id, seq = key[0].split("#")
            _, shard, chunk_no = key[1].split("#")
            self._results[ChunkRef(tenant_id, originator_id, int(seq), int(shard), int(chunk_no))] = dynamodb_versions._result(item)


class KeptAssessments:
    """`kept` as `MemoryAssessments` has it, without what an assessment says."""

    def __init__(self, versions: Table) -> None:
        self._keys: set[tuple[str, str, str, int, str]] = set()
        self._news = _News(versions, self._note)

    @property
    def kept(self) -> set[tuple[str, str, str, int, str]]:
        self._news.read()
        return self._keys

    def _note(self, key: Key, _: Item | None) -> None:
        if key[1].startswith("assessed#"):
            version, models = key[1].split("#", 2)[1:]
            self._keys.add((*_loan(key), int(version), models))


class KeptBooks(DynamoBooks):
    """`_journals` names the books there are, as that of `MemoryBooks`."""

    def __init__(self, client: DynamoClient, s3: S3Client, books: Table) -> None:
        super().__init__(client, s3, books.name, "snapshots")
        self._items = books.items

    @property
    def _journals(self) -> list[str]:
        return sorted(book_id for book_id, name in self._items if name == "head")


def _loan(key: Key) -> Loan:
    _, tenant_id, originator_id, loan_id = key[0].split("#", 3)
    return tenant_id, originator_id, loan_id
