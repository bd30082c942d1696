"""A file whose reader runs out of time, is overtaken or dies goes on from where it was left; nothing is lost and nothing is done twice."""

import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from struct import pack
from typing import Any

import bson
import pytest
from bourse.assets import cut
from bourse.assets.events import RecordsRead
from bourse.assets.memory_uploads import MemoryObjects, MemoryUploads
from bourse.assets.model import Rejection, UploadRef, UploadState
from bourse.assets.uploads import Arrival, Slot
from bourse.errors import Unavailable
from bourse.message import Message, Outcome
from bourse.queues import MemoryQueues

from tests.assets.intake_builders import Stage, all_loans, book, loan

ONE = len(book(1))


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of ten records, so that small files have many."""
    monkeypatch.setattr(cut, "SEGMENT_RECORDS", 10)


def test_a_file_whose_reader_was_lost_is_said_again(small_segments: None) -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(30)))
    stage.left_ms = lambda: 0
    stage.read(stage.ready()[0])
    stage.queue = MemoryQueues()  # its continuation is lost, as in a dead letter
    stage.left_ms = lambda: 900_000
    assert stage.sweep().counts == {}
    stage.clock.at += timedelta(minutes=10)
    assert stage.sweep().counts == {"uploads_quiet": 1}
    assert stage.sweep().says == stage.sweep().says
    stage.run()
    assert stage.status().received == 30


def test_a_file_larger_than_one_invocation_goes_on_from_where_it_was_left(small_segments: None) -> None:
    whole, parts = Stage(), Stage()
    whole.upload(book(95))
    parts.left_ms = lambda: 0
    status = parts.upload(book(95))
    assert (status.received, status.state) == (95, "processing")
    assert len(parts.ready()) == 1 + 9
    assert {message_id: message for message_id, message in parts.queue.said.items() if isinstance(message, RecordsRead)} == {
        message.message_id: message for message in whole.said()
    }


def test_a_compressed_file_goes_on_from_where_it_was_left(small_segments: None) -> None:
    whole, parts = Stage(), Stage()
    whole.upload(book(95))
    parts.left_ms = lambda: 0
    parts.upload(gzip.compress(book(95)), compressed=True)
    assert parts.loans() == whole.loans()


def test_a_segment_ends_by_size_as_well_as_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "SEGMENT_BYTES_MAX", 4 * ONE)
    stage = Stage()
    stage.upload(book(10))
    assert stage.slot().progress.segment == 3


def test_the_first_record_is_sent_before_the_last_octet_is_read(small_segments: None) -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(50)))

    class Slow(MemoryObjects):
        def read(self, key: str, arrival: Arrival, start: int) -> Iterator[bytes]:
            octets = b"".join(stage.bucket.read(key, arrival, start))
            yield octets[: 15 * ONE]
            assert len(all_loans(stage.said())) == 10
            yield octets[15 * ONE :]

    slow = Slow(stage.clock)
    slow.kept = stage.bucket.kept
    stage.objects = slow
    stage.run()
    assert stage.status().received == 50


class Killed(Exception):
    """The reader died here."""


class Mortal:
    """Kills the reader before or after its n-th effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left = at
        self.after = after

    def effect(self, does: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        came = does()
        if self.left == 0:
            raise Killed
        return came


class MortalUploads(MemoryUploads):
    fate = Mortal(0, after=False)

    def replace(self, slot: Slot) -> bool:
        return bool(self.fate.effect(lambda: super(MortalUploads, self).replace(slot)))

    def keep_rejections(self, ref: UploadRef, segment: int, rejections: Sequence[Rejection]) -> None:
        self.fate.effect(lambda: super(MortalUploads, self).keep_rejections(ref, segment, rejections))


class MortalQueues(MemoryQueues):
    """Each message is an effect of its own: a batch may be sent by half."""

    fate = Mortal(0, after=False)

    def send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.fate.effect(lambda message=message: super(MortalQueues, self).send([message]))


def _story(uploads: MortalUploads, queue: MortalQueues) -> Stage:
    stage = Stage(uploads=uploads, queue=queue)
    stage.left_ms = lambda: 0
    file = book(25) + bson.encode(loan("L-bad", status="odd")) + book(10, first=25) + pack("<i", 3)
    stage.ask()
    stage.ask()
    stage.put(file, 1)
    stage.put(book(15, grade="B"), 2)
    return stage


def _act(stage: Stage, queue: MortalQueues, fate: Mortal) -> int:
    """Play the story to its end, with deliveries repeated after a death; returns the number of effects."""
    uploads = stage.uploads
    assert isinstance(uploads, MortalUploads)
    uploads.fate = queue.fate = fate
    begun = fate.left
    heard: set[str] = set()

    def alive(does: Callable[[], Outcome]) -> None:
        for _ in range(2):
            try:
                does()
            except Killed:
                continue
            return

    for seq in (2, 1):
        alive(lambda seq=seq: stage.told(stage.slot(seq).key))
    while waiting := [one for one in stage.ready() if one.message_id not in heard]:
        heard.add(waiting[0].message_id)
        alive(lambda: stage.read(waiting[0]))
    return begun - fate.left


def _end(stage: Stage) -> Any:
    slots = [stage.slot(seq).model_dump(exclude={"revision"}) for seq in (1, 2)]
    return slots, stage.status(1), stage.status(2), stage.rejections(1), {one.message_id: one for one in stage.said()}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_reader_killed_at_any_effect_loses_nothing_and_does_nothing_twice(small_segments: None, after: bool) -> None:
    queue = MortalQueues()
    untouched = _story(MortalUploads(), queue)
    effects = _act(untouched, queue, Mortal(10**6, after=after))
    expected = _end(untouched)
    assert effects > 50
    assert (expected[1].state, expected[1].received, expected[1].rejected) == ("failed", 36, 1)
    for at in range(1, effects + 1):
        queue = MortalQueues()
        stage = _story(MortalUploads(), queue)
        _act(stage, queue, Mortal(at, after=after))
        assert _end(stage) == expected, f"killed at effect {at}"


def test_two_readers_at_once_do_not_go_backwards(small_segments: None) -> None:
    stage = Stage()
    stage.ask()
    stage.told(stage.put(book(30)))
    (message,) = stage.ready()
    slow = stage.slot().next(state=UploadState.READING)
    assert stage.uploads.replace(slow)

    class Overtaken(MemoryQueues):
        def send(self, messages: Iterable[Message]) -> None:
            stage.queue.send(messages)
            stage.uploads.replace(stage.slot().next(progressed_at=stage.clock.now()))

    from bourse.assets.read_upload import read_upload

    with pytest.raises(Unavailable, match="another reader"):
        read_upload(
            message, uploads=stage.uploads, objects=stage.bucket, chunk_queue=Overtaken(), hash_secret=b"s", remaining_ms=lambda: 900_000, clock=stage.clock
        )
    stage.run()
    assert stage.status().received == 30
