"""What only the simulation's queue has: choices of the caller, time as an argument, cuts in the client; and any history of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from bourse import flow
from bourse.assets.events import UploadReady
from bourse.aws.sqs import SqsQueues
from bourse.errors import Unavailable
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.simulation.sqs import KEPT, Fifo, Receipt, SqsClient

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def entry(body: str, group: str = "g") -> dict[str, Any]:
    return {"Id": body, "MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": body}


def bodies(records: list[dict[str, Any]]) -> list[str]:
    return [record["body"] for record in records]


def receipts(records: list[dict[str, Any]]) -> list[str]:
    return [record["receiptHandle"] for record in records]


def filled() -> Fifo:
    """Two messages in each of the groups a, b and c."""
    queue = Fifo("q.fifo", visibility_seconds=30)
    queue.send([entry(f"{group}{number}", group) for number in (1, 2) for group in "abc"], START)
    return queue


def test_the_group_that_waits_longest_gives_first_and_all_it_can() -> None:
    queue = filled()
    first = queue.receive(START, 3)
    assert bodies(first) == ["a1", "a2", "b1"]
    assert queue.available(START) == ("c",)
    queue.return_to_queue(receipts(first), START)
    assert queue.available(START) == ("c", "b", "a"), "a was whole again after its second message"
    assert bodies(queue.receive(START, 2)) == ["c1", "c2"]


def test_the_caller_chooses_which_groups_give_and_how_many() -> None:
    assert bodies(filled().receive(START, groups=["c", "nobody", "a"])) == ["c1", "c2", "a1", "a2"]
    assert bodies(filled().receive(START, 3, groups=["b", "c"])) == ["b1", "b2", "c1"]
    assert bodies(filled().receive(START, groups={"c": 1, "a": 2, "b": 0})) == ["c1", "a1", "a2"]


@pytest.mark.parametrize("most", [0, 11])
def test_a_receive_asks_for_one_to_ten(most: int) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        filled().receive(START, most)


def test_the_queue_says_when_it_will_change_by_itself() -> None:
    queue = Fifo("q.fifo", visibility_seconds=30, delay_seconds=20)
    assert queue.wakes_at() is None
    queue.send([entry("a")], START)
    assert queue.wakes_at() == START + 20 * SECOND
    assert queue.available(START + 19 * SECOND) == ()
    records = queue.receive(START + 20 * SECOND)
    assert queue.wakes_at() == START + 50 * SECOND
    queue.delete(receipts(records), START + 21 * SECOND)
    assert (queue.wakes_at(), queue.is_empty(), queue.groups()) == (None, True, ())


def test_receipts_say_what_became_of_them() -> None:
    queue = filled()
    old = receipts(queue.receive(START, groups=["a"]))
    new = receipts(queue.receive(START + 30 * SECOND, groups=["a"]))
    outcomes = queue.delete([*old, *new, *new, "other.fifo/x/1"], START + 59 * SECOND)
    assert outcomes == [*[Receipt.EXPIRED] * 2, *[Receipt.DONE] * 2, *[Receipt.GONE] * 2, Receipt.INVALID]
    late = receipts(queue.receive(START + 59 * SECOND, groups=["b"]))
    assert queue.change_visibility(late, 10, START + 89 * SECOND) == [Receipt.EXPIRED] * 2
    assert [message.body for message in queue.waiting("b")] == ["b1", "b2"]


def test_time_never_runs_back() -> None:
    queue = filled()
    with pytest.raises(AssertionError, match="time ran back"):
        queue.receive(START - SECOND)


def test_a_message_is_kept_for_two_weeks_and_as_a_dead_letter_for_two_more() -> None:
    dead = Fifo("q-dlq.fifo", visibility_seconds=30)
    queue = Fifo("q.fifo", visibility_seconds=30, receive_max=1, dead=dead)
    queue.send([entry("a", "a"), entry("b", "b")], START)
    queue.receive(START, groups=["a"])
    moved_at = START + KEPT - SECOND
    assert queue.receive(moved_at, groups=["a"]) == []
    assert bodies(queue.receive(moved_at + SECOND)) == []
    assert [message.body for message in queue.lost] == ["b"]
    assert queue.is_empty()
    assert len(queue.redrive(moved_at + KEPT - SECOND)) == 1
    assert dead.is_empty()


def test_a_redrive_can_be_stopped_half_way_and_leaves_what_is_in_flight() -> None:
    dead = Fifo("q-dlq.fifo", visibility_seconds=30)
    queue = Fifo("q.fifo", visibility_seconds=30, dead=dead)
    dead.send([entry("a1", "a"), entry("b1", "b"), entry("a2", "a"), entry("b2", "b")], START)
    dead.receive(START, 1, groups=["b"])
    assert len(queue.redrive(START, 1)) == 1
    assert [message.body for message in dead.waiting("a")] == ["a2"]
    assert [message.body for message in dead.in_flight("b")] == ["b1"]
    assert len(queue.redrive(START)) == 1
    assert [message.body for message in dead.waiting("b")] == ["b2"]
    assert len(queue.redrive(START + 30 * SECOND)) == 2
    assert bodies(queue.receive(START + 30 * SECOND, groups=["a", "b"])) == ["a1", "a2", "b1", "b2"]


class Sending:
    """Our own sender over the simulated client."""

    def __init__(self) -> None:
        name = flow.queue_hearing(UploadReady).name
        self.queue = Fifo(f"{name}.fifo", visibility_seconds=30)
        self.client = SqsClient({"url": self.queue}, lambda: START)
        self.queues = SqsQueues(self.client, {name: "url"})
        self.messages = [
            UploadReady(message_id=f"msg_{seq}", tenant_id="t", correlation_id=f"cor_{seq}", originator_id="o", upload_seq=seq, key="k") for seq in range(3)
        ]

    def kept(self) -> list[str]:
        return [message.deduplication_id for group in self.queue.groups() for message in self.queue.waiting(group)]


def test_what_we_say_is_sent_and_said_again_is_kept_once() -> None:
    sending = Sending()
    sending.queues.send(sending.messages)
    sending.queues.send(sending.messages)
    assert sending.kept() == ["msg_0", "msg_1", "msg_2"]


def test_a_batch_taken_in_part_is_an_error_and_sent_again_it_is_whole() -> None:
    sending = Sending()
    sending.client.partial = lambda entries: {entries[1]["Id"]}
    with pytest.raises(Unavailable, match="1 of 3"):
        sending.queues.send(sending.messages)
    assert sending.kept() == ["msg_0", "msg_2"]
    sending.client.partial = lambda entries: set()
    sending.queues.send(sending.messages)
    assert sending.kept() == ["msg_0", "msg_2", "msg_1"], "a group's order is lost by what was taken in part: only the sender can keep it"


@pytest.mark.parametrize(("place", "kept"), [("before", []), ("after", ["msg_0", "msg_1", "msg_2"])])
def test_a_crash_comes_before_the_effect_or_after_it(place: str, kept: list[str]) -> None:
    sending = Sending()

    def cut(point: str) -> None:
        if point == f"{place} send_message_batch {sending.queue.name}":
            raise KeyboardInterrupt

    sending.client.cut = cut
    with pytest.raises(KeyboardInterrupt):
        sending.queues.send(sending.messages)
    assert sending.kept() == kept


def test_there_is_no_queue_at_another_url() -> None:
    with pytest.raises(ClientError, match="NonExistentQueue"):
        Sending().client.send_message_batch(QueueUrl="elsewhere", Entries=[entry("a")])


GROUPS = "abc"
RECEIVES_MAX, VISIBILITY = 2, 30


class Histories(RuleBasedStateMachine):
    """Any history, beside lists of what was sent, what is in flight until when, and what is dead."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = Fifo("q-dlq.fifo", visibility_seconds=VISIBILITY)
        self.queue = Fifo("q.fifo", visibility_seconds=VISIBILITY, receive_max=RECEIVES_MAX, dead=self.dead)
        self.now = START
        self.sent = 0
        self.left: dict[str, list[str]] = {group: [] for group in GROUPS}
        self.buried: dict[str, list[str]] = {group: [] for group in GROUPS}
        self.receives: dict[str, int] = {}
        self.sent_at: dict[str, tuple[str, datetime]] = {}
        self.flights: dict[str, tuple[str, str, datetime]] = {}
        self.receipts: list[str] = []

    def in_flight(self, group: str) -> list[str]:
        return [body for of, body, until in self.flights.values() if of == group and until > self.now]

    @rule(group=st.sampled_from(GROUPS), many=st.integers(1, 4))
    def send(self, group: str, many: int) -> None:
        new = [str(self.sent + number) for number in range(many)]
        self.sent += many
        assert not any(one.duplicate for one in self.queue.send([entry(body, group) for body in new], self.now))
        self.left[group] += new
        self.sent_at |= dict.fromkeys(new, (group, self.now))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        body = str(data.draw(st.integers(0, self.sent - 1)))
        group, at = self.sent_at[body]
        if self.now < at + timedelta(minutes=5):
            assert self.queue.send([entry(body, group)], self.now)[0].duplicate

    @precondition(lambda self: any(self.left[group] and not self.in_flight(group) for group in GROUPS))
    @rule()
    def receive_all(self) -> None:
        """Most of the time something is received: histories in which nobody listens show little."""
        self.receive(10, None)

    @rule(most=st.integers(1, 10), groups=st.none() | st.permutations(GROUPS) | st.fixed_dictionaries({group: st.integers(0, 3) for group in GROUPS}))
    def receive(self, most: int, groups: Any) -> None:
        locked = {group for group in GROUPS if self.in_flight(group)}
        records = self.queue.receive(self.now, most, groups)
        self.bury()
        assert len(records) <= most
        for group in GROUPS:
            got = [record["body"] for record in records if record["attributes"]["MessageGroupId"] == group]
            assert not (got and group in locked), "two batches of a group in flight"
            assert got == self.left[group][: len(got)], "not the first of its group"
        if groups is None and len(records) < most:
            silent = set(GROUPS) - {record["attributes"]["MessageGroupId"] for record in records} - locked
            assert not any(self.left[group] for group in silent), "a group that could give gave nothing"
        for record in records:
            self.receives[record["body"]] = self.receives.get(record["body"], 0) + 1
            assert record["attributes"]["ApproximateReceiveCount"] == str(self.receives[record["body"]])
            self.flights[record["receiptHandle"]] = (record["attributes"]["MessageGroupId"], record["body"], self.now + VISIBILITY * SECOND)
            self.receipts.append(record["receiptHandle"])

    def bury(self) -> None:
        """What went to the dead letters had been received as often as allowed, and was not in flight."""
        for group in GROUPS:
            dead = [message.body for message in self.dead.waiting(group)]
            new = dead[len(self.buried[group]) :]
            assert dead[: len(self.buried[group])] == self.buried[group]
            assert new == [body for body in self.left[group] if body in new]
            assert all(self.receives[body] == RECEIVES_MAX for body in new)
            assert not set(new) & set(self.in_flight(group))
            self.left[group] = [body for body in self.left[group] if body not in new]
            self.buried[group] = dead

    @precondition(lambda self: self.receipts)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        for receipt in data.draw(st.lists(st.sampled_from(self.receipts), min_size=1, max_size=6)):
            group, body, until = self.flights.get(receipt, ("", "", self.now))
            [outcome] = self.queue.delete([receipt], self.now)
            assert (outcome == Receipt.DONE) == (until > self.now)
            if outcome == Receipt.DONE:
                self.left[group].remove(body)
                del self.flights[receipt]

    @precondition(lambda self: self.receipts)
    @rule(data=st.data(), seconds=st.sampled_from([0, 0, 10, 60]))
    def change_visibility(self, data: st.DataObject, seconds: int) -> None:
        receipt = data.draw(st.sampled_from(self.receipts))
        group, body, until = self.flights.get(receipt, ("", "", self.now))
        [outcome] = self.queue.change_visibility([receipt], seconds, self.now)
        assert (outcome == Receipt.DONE) == (until > self.now)
        if outcome == Receipt.DONE:
            self.flights[receipt] = (group, body, self.now + seconds * SECOND)

    @precondition(lambda self: any(map(self.in_flight, GROUPS)))
    @rule()
    def fail_all(self) -> None:
        """Whoever has a batch gives it back, the last message first."""
        for receipt, (group, body, until) in reversed(self.flights.items()):
            if until > self.now:
                assert self.queue.return_to_queue([receipt], self.now) == [Receipt.DONE]
                self.flights[receipt] = (group, body, self.now)

    @rule(seconds=st.sampled_from([1, 10, 29, 30, 31, 300]))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @precondition(lambda self: any(self.buried.values()))
    @rule(most=st.none() | st.integers(1, 3))
    def redrive(self, most: int | None) -> None:
        moved = len(self.queue.redrive(self.now, most))
        assert moved == min(most or self.sent, sum(map(len, self.buried.values())))
        for group in GROUPS:
            stay = len(self.dead.waiting(group))
            came = self.buried[group][: len(self.buried[group]) - stay]
            self.buried[group] = self.buried[group][len(came) :]
            self.left[group] += came
            self.receives |= dict.fromkeys(came, 0)

    @invariant()
    def nothing_is_lost_and_nothing_comes_from_nowhere(self) -> None:
        self.queue.available(self.now)
        for group in GROUPS:
            flying = [message.body for message in self.queue.in_flight(group)]
            waiting = [message.body for message in self.queue.waiting(group)]
            assert sorted(flying) == sorted(self.in_flight(group))
            assert waiting == [body for body in self.left[group] if body not in flying]
            assert [message.body for message in self.dead.waiting(group)] == self.buried[group]
        assert self.queue.is_empty() == (not any(self.left.values()))
        assert self.queue.wakes_at() == min((until for *_, until in self.flights.values() if until > self.now), default=None)


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
