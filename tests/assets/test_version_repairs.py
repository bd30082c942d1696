"""What goes wrong around versioning, and that nothing is lost or doubled by it: crashes, races, replays, dead letters."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from bourse.assets.asset_history import state_hash
from bourse.assets.events import AssetsVersioned, RecordsRead
from bourse.assets.memory_versions import MemoryChunks, MemoryVersions
from bourse.errors import Unavailable
from bourse.message import Outcome, encode
from hypothesis import given
from hypothesis import strategies as st

from tests.assets.version_builders import NOON, Stage, chunk, file, loan

DAY = timedelta(days=1)


@dataclass
class Fuse:
    """Raises at the n-th effect, before or after it took place."""

    burns_at: int
    after: bool = False
    effects: int = 0

    def around(self, effect: Any, *arguments: Any) -> Any:
        self.effects += 1
        if self.effects == self.burns_at and not self.after:
            raise Unavailable("killed before the effect")
        done = effect(*arguments)
        if self.effects == self.burns_at and self.after:
            raise Unavailable("killed after the effect")
        return done


class FusedVersions(MemoryVersions):
    """Writes loan by loan, as transactions do, so that a crash can leave half of a chunk."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def append(self, tenant_id: str, originator_id: str, versions: Any) -> frozenset[str]:
        fenced: frozenset[str] = frozenset()
        for version in versions:
            fenced |= self.fuse.around(super().append, tenant_id, originator_id, [version])
        return fenced


class FusedChunks(MemoryChunks):
    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def keep(self, ref: Any, result: Any) -> Any:
        return self.fuse.around(super().keep, ref, result)


BEFORE = chunk(loan("L-1"), loan("L-2"), loan("L-3"))
MIXED = chunk(
    loan("L-1", grade="A"), loan("L-2", status="repaid"), loan("L-3"), loan("L-4", grade="A"), loan("L-4", grade="Z"), loan("L-5", currency="EUR"), seq=2
)


def everything(stage: Stage) -> tuple[Any, ...]:
    assert isinstance(stage.versions, MemoryVersions)
    assert isinstance(stage.chunks, MemoryChunks)
    return stage.versions.stored, stage.chunks.kept, {one: encode(message) for one, message in stage.said.items()}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("effect", range(1, 6))
def test_a_worker_killed_at_any_effect_loses_and_doubles_nothing(effect: int, after: bool) -> None:
    undisturbed = Stage()
    undisturbed.hear(BEFORE, MIXED)
    fuse = Fuse(burns_at=10**9)
    stage = Stage(FusedVersions(fuse), FusedChunks(fuse))
    stage.hear(BEFORE)
    fuse.burns_at, fuse.after, fuse.effects = effect, after, 0
    with pytest.raises(Unavailable):
        stage.hear(MIXED)
    stage.hear(MIXED)
    assert everything(stage) == everything(undisturbed)
    assert stage.hear(MIXED).counts == {"chunks_heard_again": 1}


def test_another_writer_is_noticed_and_the_decision_made_again() -> None:
    class Raced(MemoryVersions):
        """The first write finds that another worker had the same message and was faster."""

        raced = False

        def append(self, tenant_id: str, originator_id: str, versions: Any) -> frozenset[str]:
            if not self.raced and versions:
                self.raced = True
                assert not super().append(tenant_id, originator_id, versions)
            return super().append(tenant_id, originator_id, versions)

    stage = Stage(Raced())
    outcome = stage.hear(chunk(loan("L-1"), loan("L-2")))
    assert outcome.counts == {"records_created": 2}
    assert [len(message.assets) for message in outcome.says if isinstance(message, AssetsVersioned)] == [2]
    assert len(stage.versions.history("demo", "acme", "L-1")[0]) == 1


def test_a_race_without_end_is_left_to_the_queue() -> None:
    class Lost(MemoryVersions):
        def append(self, tenant_id: str, originator_id: str, versions: Any) -> frozenset[str]:
            return frozenset(version.loan_id for version in versions)

    with pytest.raises(Unavailable):
        Stage(Lost()).hear(chunk(loan()))


def test_a_chunk_from_the_dead_letters_does_not_overwrite_what_a_later_file_said() -> None:
    stage = Stage()
    stage.hear(chunk(loan("L-1", grade="B"), loan("L-2"), seq=2))
    outcome = stage.hear(chunk(loan("L-1", grade="A"), loan("L-2"), loan("L-3"), seq=1))
    assert outcome.counts == {"records_stale": 1, "records_unchanged": 1, "records_created": 1}
    assert [asset.loan_id for message in outcome.says if isinstance(message, AssetsVersioned) for asset in message.assets] == ["L-3"]


@pytest.mark.parametrize("kept", [False, True], ids=["killed before its result", "killed after its result"])
def test_a_chunk_from_the_dead_letters_counts_what_it_made_and_says_nothing_that_was_followed(kept: bool) -> None:
    fuse = Fuse(burns_at=10**9)
    stage = Stage(FusedVersions(fuse), FusedChunks(fuse))
    first = chunk(loan("L-1"), loan("L-1", grade="Z"), loan("L-2", status="repaid"), loan("L-3"))
    fuse.burns_at, fuse.after = 4, kept
    with pytest.raises(Unavailable):
        stage.hear(first)
    stage.hear(chunk(loan("L-1", grade="B"), loan("L-2"), seq=2))
    redriven = stage.hear(first)
    assert [asset.loan_id for message in redriven.says if isinstance(message, AssetsVersioned) for asset in message.assets] == ["L-3"]
    assert len(redriven.says) == 1
    assert redriven.counts == ({"chunks_heard_again": 1} if kept else {"records_created": 3, "records_rejected": 1})


def a_year_of_files() -> list[list[RecordsRead]]:
    """Four files of one book: all new; a third changed, some repaid; the same again; some come back."""
    ids = [f"L-{number}" for number in range(120)]
    first = [loan(one, updated_at=NOON) for one in ids]
    repaid = {one: {"status": "repaid"} for one in ids[::21]}
    second = [loan(one, NOON + DAY, outstanding_principal_minor=1000 + place, **repaid.get(one, {})) for place, one in enumerate(ids[::3])]
    third = [loan(one, NOON + DAY, grade="D") for one in [*ids[::10], *ids[:5]]]
    return [list(file(records, seq)) for seq, records in enumerate([first, second, second, third], 1)]


def run(files: list[list[RecordsRead]], stage: Stage) -> list[Outcome]:
    return [stage.hear(one) for chunks in files for one in chunks]


def hash_of(stage: Stage) -> str:
    assert isinstance(stage.versions, MemoryVersions)
    return state_hash(version for versions in stage.versions.stored.values() for version in versions)


def test_replaying_the_stored_files_rebuilds_the_same_state() -> None:
    original, replayed = Stage(), Stage()
    run(a_year_of_files(), original)
    replayed.clock.at = NOON + 300 * DAY
    run(a_year_of_files(), replayed)
    assert hash_of(replayed) == hash_of(original)


def test_restarting_a_file_with_or_without_dropping_its_results_ends_in_the_same_state() -> None:
    files = a_year_of_files()
    original = Stage()
    run(files, original)
    expected = hash_of(original)
    for forgets in (False, True):
        half = Stage()
        run(files[:1], half)
        for one in files[1][: len(files[1]) // 2]:
            half.hear(one)
        if forgets:
            half.chunks = MemoryChunks()
        run(files[1:], half)
        assert hash_of(half) == expected


def test_a_state_hash_tells_a_difference_and_not_an_order() -> None:
    stage = Stage()
    stage.hear(chunk(loan("L-1"), loan("L-2")))
    assert isinstance(stage.versions, MemoryVersions)
    versions = [versions[0] for versions in stage.versions.stored.values()]
    assert state_hash(versions) == state_hash(versions[::-1])
    assert state_hash(versions) != state_hash(versions[:1])


@given(
    history=st.lists(
        st.lists(st.tuples(st.sampled_from(["L-1", "L-2", "L-3"]), st.sampled_from("ABC"), st.sampled_from(["active", "repaid"])), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    ),
    size=st.integers(1, 4),
    heard_again=st.lists(st.booleans(), min_size=30, max_size=30),
)
def test_whatever_comes_in_whatever_cut_versions_are_gapless_and_doubles_do_nothing(history: Any, size: int, heard_again: list[bool]) -> None:
    whole, cut = Stage(), Stage()
    again = iter(heard_again)
    for seq, records in enumerate(history, 1):
        loans = [loan(loan_id, grade=grade, status=status) for loan_id, grade, status in records]
        outcome = whole.hear(chunk(*loans, seq=seq))
        assert sum(outcome.counts.values()) == len(loans)
        for number, start in enumerate(range(0, len(loans), size)):
            part = chunk(*loans[start : start + size], seq=seq, number=number, first=start)
            cut.hear(part)
            if next(again):
                assert cut.hear(part).counts == {"chunks_heard_again": 1}
    assert hash_of(cut) == hash_of(whole)
    assert isinstance(cut.versions, MemoryVersions)
    for versions in cut.versions.stored.values():
        assert [version.version for version in versions] == list(range(1, len(versions) + 1))
