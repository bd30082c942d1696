"""SQS FIFO queues as AWS documents them, without chance and without a clock: where AWS may choose, the caller chooses.

Queues are as infra/constructs/worker.py makes them: high throughput (duplicates are known within a group), kept 14 days.
Not modelled: quotas of throughput, the 120,000 messages in flight or scanned for a free group, MD5 sums, encryption.
"""

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple
from zlib import crc32

from botocore.exceptions import ClientError

Entry = dict[str, Any]
Partial = Callable[[list[Entry]], set[str]]
Cut = Callable[[str], None]
BATCH_MAX, BATCH_OCTETS_MAX = 10, 1 << 20
DUPLICATES_KNOWN, KEPT = timedelta(minutes=5), timedelta(days=14)
RECEIVES_MAX, VISIBILITY_SECONDS_MAX = 5, 12 * 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SEQUENCE_FIRST, _SEQUENCE_STEP = 18_849_496_460_467_696_128, 256
_ENTRY_ID, _TOKEN = re.compile(r"[\w-]{1,80}", re.ASCII), re.compile(r"[!-~]{1,128}")
_NO_TEXT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r"))
_SIMPLE: Final = "AWS.SimpleQueueService."


class Sent(NamedTuple):
    """What became of an entry of a batch: `refused` is AWS's code when it was not taken; of a duplicate the ids are the first one's."""

    entry_id: str
    message_id: str = ""
    sequence_number: int = 0
    duplicate: bool = False
    refused: str = ""


class Receipt(StrEnum):
    """What became of a receipt that was used; only DONE changed anything.

    GONE: the message is not here any more, and a second delete succeeds. EXPIRED: it is visible again, or was received again since
    (InvalidParameterValue). INVALID: no receipt of this queue (ReceiptHandleIsInvalid).
    """

    DONE = "done"
    GONE = "gone"
    EXPIRED = "expired"
    INVALID = "invalid"


@dataclass(slots=True, eq=False)
class Message:
    """A message in a queue. In flight it has the receipt of its last receive, and comes back at `visible_at`."""

    message_id: str
    group_id: str
    deduplication_id: str
    body: str
    sent_at: datetime
    sequence_number: int
    visible_at: datetime
    receives: int = 0
    first_received_at: datetime | None = None
    receipt: str = ""


class _Group:
    """The messages of a group in the order they were sent; those in flight are not among the waiting."""

    __slots__ = ("in_flight", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()
        self.in_flight: list[Message] = []

    def put_back(self, message: Message) -> None:
        """From flight to its place: at most a batch of its group can stand before it, for all others were sent later."""
        self.in_flight.remove(message)
        place = 0
        while place < len(self.waiting) and self.waiting[place].sequence_number < message.sequence_number:
            place += 1
        self.waiting.insert(place, message)


class Fifo:
    """One queue. Each call says what time it is, and time never runs back.

    `dead` is its dead-letter queue: a message received `receive_max` times goes there when it would be received once more.
    `delay_seconds` is the queue's delivery delay: every message waits as long before it can be received.
    """

    def __init__(self, name: str, *, visibility_seconds: int, receive_max: int = RECEIVES_MAX, dead: "Fifo | None" = None, delay_seconds: int = 0) -> None:
        self.name: Final = name
        self.arn: Final = f"arn:aws:sqs:us-east-1:000000000000:{name}"
        self.receive_max: Final = receive_max
        self.dead: Final = dead
        self.lost: Final[list[Message]] = []
        """What was kept as long as the queue keeps anything, and then dropped: found when it would have been received or moved."""
        self._visibility, self._delay = timedelta(seconds=visibility_seconds), timedelta(seconds=delay_seconds)
        self._stem: Final = f"{crc32(name.encode()):08x}-0000-4000-8000-"
        self._now = _EPOCH
        self._made = 0
        self._groups: Final[dict[str, _Group]] = {}
        self._open: Final[OrderedDict[str, None]] = OrderedDict()
        """Groups that have a message to give, the one that waits longest first."""
        self._ids: Final[set[str]] = set()
        self._in_flight: Final[dict[str, Message]] = {}
        self._timers: Final[list[tuple[datetime, int, Message]]] = []
        self._known: Final[dict[tuple[str, str], tuple[str, int]]] = {}
        self._known_since: Final[deque[tuple[datetime, tuple[str, str]]]] = deque()

    def send(self, entries: list[Entry], now: datetime) -> list[Sent]:
        """SendMessageBatch: entries with Id, MessageBody, MessageGroupId, MessageDeduplicationId. Raises ClientError when all of it is refused."""
        _check_batch(entries)
        self._pass_time(now)
        return [self._send(entry, now) for entry in entries]

    def receive(self, now: datetime, most: int = BATCH_MAX, groups: Iterable[str] | Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        """At most `most` messages as records of a Lambda event, in order within each group; its groups give nothing more until all are settled.

        `groups` says which groups give, in which order, and as a mapping how many each; those that have nothing to give are passed over.
        Without it the group that waits longest gives as many as it can, then the next.
        """
        if not 1 <= most <= BATCH_MAX:
            raise refused("ReceiveMessage", "InvalidParameterValue", f"Value {most} for parameter MaxNumberOfMessages is invalid.")
        self._pass_time(now)
        taken: list[Message] = []
        if groups is None:
            while self._open and len(taken) < most:
                taken += self._take(next(iter(self._open)), most - len(taken), now)
        else:
            for group_id in groups:
                share = groups[group_id] if isinstance(groups, Mapping) else most
                if group_id in self._open and (room := min(share, most - len(taken))) > 0:
                    taken += self._take(group_id, room, now)
        return [self._record(message) for message in taken]

    def delete(self, receipts: Iterable[str], now: datetime) -> list[Receipt]:
        """DeleteMessageBatch, but for as many as one likes. Only the receipt of the last receive deletes, and only while the message is in flight."""
        self._pass_time(now)
        return [self._settle(receipt, self._delete) for receipt in receipts]

    def change_visibility(self, receipts: Iterable[str], seconds: int, now: datetime) -> list[Receipt]:
        """ChangeMessageVisibility: in flight for so many seconds from now. (That all extensions together end at 12 hours is not checked.)"""
        if not 0 <= seconds <= VISIBILITY_SECONDS_MAX:
            raise refused("ChangeMessageVisibility", "InvalidParameterValue", f"Value {seconds} for parameter VisibilityTimeout is invalid.")
        self._pass_time(now)
        until = now + timedelta(seconds=seconds)
        outcomes = [self._settle(receipt, lambda message: self._hide(message, until)) for receipt in receipts]
        self._pass_time(now)
        return outcomes

    def return_to_queue(self, receipts: Iterable[str], now: datetime) -> list[Receipt]:
        """Visible again at once. Lambda's mapping does nothing for what failed: that comes back when its visibility runs out."""
        return self.change_visibility(receipts, 0, now)

    def redrive(self, now: datetime, most: int | None = None) -> list[str]:
        """StartMessageMoveTask: the oldest dead letters come back behind what waits here, as new messages. Returns their new message ids."""
        assert self.dead is not None, f"{self.name} has no dead letters"
        self._pass_time(now)
        moved = self.dead._give_away(now, most)
        return [self._enqueue(one.group_id, one.deduplication_id, one.body, now).message_id for one in moved]

    def available(self, now: datetime) -> tuple[str, ...]:
        """The groups that have a message to give, the one that waits longest first."""
        self._pass_time(now)
        return tuple(self._open)

    def wakes_at(self) -> datetime | None:
        """When the next message becomes visible by itself; None when only a call can change anything."""
        while self._timers and not self._is_running(self._timers[0]):
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def groups(self) -> tuple[str, ...]:
        """The groups of which there are messages here."""
        return tuple(self._groups)

    def waiting(self, group_id: str) -> tuple[Message, ...]:
        """The group's messages that are not in flight, in order."""
        return tuple(self._groups[group_id].waiting) if group_id in self._groups else ()

    def in_flight(self, group_id: str | None = None) -> tuple[Message, ...]:
        """The messages in flight, of one group or of all, as of the last call."""
        if group_id is None:
            return tuple(self._in_flight.values())
        return tuple(self._groups[group_id].in_flight) if group_id in self._groups else ()

    def is_empty(self) -> bool:
        """Whether there is neither a waiting message nor one in flight."""
        return not self._ids

    def _pass_time(self, now: datetime) -> None:
        """What visibility, delay and the window of duplicates bring with them."""
        assert now >= self._now, f"{self.name}: time ran back from {self._now} to {now}"
        self._now = now
        while self._timers and self._timers[0][0] <= now:
            timer = heappop(self._timers)
            if self._is_running(timer):
                self._show(timer[2])
        while self._known_since and self._known_since[0][0] <= now:
            del self._known[self._known_since.popleft()[1]]

    def _is_running(self, timer: tuple[datetime, int, Message]) -> bool:
        return timer[2].visible_at == timer[0] and timer[2].message_id in self._ids

    def _show(self, message: Message) -> None:
        group = self._groups[message.group_id]
        if message.receipt:
            del self._in_flight[message.receipt]
            message.receipt = ""
            group.put_back(message)
        self._open_or_close(message.group_id, group)

    def _open_or_close(self, group_id: str, group: _Group) -> None:
        """A group gives while it has a visible message and none in flight."""
        if group.waiting and not group.in_flight and group.waiting[0].visible_at <= self._now:
            self._open.setdefault(group_id)
        else:
            self._open.pop(group_id, None)
            if not group.waiting and not group.in_flight:
                del self._groups[group_id]

    def _send(self, entry: Entry, now: datetime) -> Sent:
        if code := _fault(entry):
            return Sent(entry["Id"], refused=code)
        key = (entry["MessageGroupId"], entry["MessageDeduplicationId"])
        if key in self._known:
            return Sent(entry["Id"], *self._known[key], duplicate=True)
        message = self._enqueue(*key, entry["MessageBody"], now)
        self._known[key] = (message.message_id, message.sequence_number)
        self._known_since.append((now + DUPLICATES_KNOWN, key))
        return Sent(entry["Id"], message.message_id, message.sequence_number)

    def _enqueue(self, group_id: str, deduplication_id: str, body: str, now: datetime, message_id: str = "") -> Message:
        self._made += 1
        message_id = message_id or f"{self._stem}{self._made:012x}"
        sequence_number = _SEQUENCE_FIRST + self._made * _SEQUENCE_STEP
        message = Message(message_id, group_id, deduplication_id, body, now, sequence_number, now + self._delay)
        group = self._groups.get(group_id) or self._groups.setdefault(group_id, _Group())
        group.waiting.append(message)
        self._ids.add(message_id)
        if self._delay:
            heappush(self._timers, (message.visible_at, sequence_number, message))
        elif not group.in_flight:
            self._open.setdefault(group_id)
        return message

    def _take(self, group_id: str, most: int, now: datetime) -> list[Message]:
        group = self._groups[group_id]
        taken = group.in_flight
        while group.waiting and len(taken) < most and group.waiting[0].visible_at <= now:
            message = group.waiting.popleft()
            if self._leaves(message, now):
                continue
            message.receives += 1
            message.first_received_at = message.first_received_at or now
            message.receipt = f"{self.name}/{message.message_id}/{message.receives}"
            self._in_flight[message.receipt] = message
            self._hide(message, now + self._visibility)
            taken.append(message)
        self._open_or_close(group_id, group)
        return taken

    def _hide(self, message: Message, until: datetime) -> None:
        message.visible_at = until
        heappush(self._timers, (until, message.sequence_number, message))

    def _leaves(self, message: Message, now: datetime) -> bool:
        """Whether instead of being received it is dropped for its age, or goes to the dead letters: its group and id stay, its time is new."""
        if message.sent_at + KEPT <= now:
            self.lost.append(message)
        elif self.dead is not None and message.receives >= self.receive_max:
            self.dead._pass_time(now)
            buried = self.dead._enqueue(message.group_id, message.message_id, message.body, now, message.message_id)
            buried.receives, buried.first_received_at = message.receives, message.first_received_at
        else:
            return False
        self._ids.remove(message.message_id)
        return True

    def _give_away(self, now: datetime, most: int | None) -> list[Message]:
        self._pass_time(now)
        oldest = sorted((one for group_id in self._open for one in self._groups[group_id].waiting), key=lambda one: one.sequence_number)
        for message in oldest[:most]:
            group = self._groups[message.group_id]
            group.waiting.popleft()
            self._ids.remove(message.message_id)
            self._open_or_close(message.group_id, group)
        self.lost.extend(one for one in oldest[:most] if one.sent_at + KEPT <= now)
        return [one for one in oldest[:most] if one.sent_at + KEPT > now]

    def _settle(self, receipt: str, settle: Callable[[Message], None]) -> Receipt:
        message = self._in_flight.get(receipt)
        if message is not None:
            settle(message)
            return Receipt.DONE
        name, _, rest = receipt.partition("/")
        if name != self.name:
            return Receipt.INVALID
        return Receipt.EXPIRED if rest.partition("/")[0] in self._ids else Receipt.GONE

    def _delete(self, message: Message) -> None:
        del self._in_flight[message.receipt]
        self._ids.remove(message.message_id)
        group = self._groups[message.group_id]
        group.in_flight.remove(message)
        self._open_or_close(message.group_id, group)

    def _record(self, message: Message) -> dict[str, Any]:
        return {
            "messageId": message.message_id,
            "receiptHandle": message.receipt,
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": str(message.receives),
                "SentTimestamp": _milliseconds(message.sent_at),
                "SequenceNumber": str(message.sequence_number),
                "MessageGroupId": message.group_id,
                "MessageDeduplicationId": message.deduplication_id,
                "ApproximateFirstReceiveTimestamp": _milliseconds(message.first_received_at or message.sent_at),
            },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": self.arn,
            "awsRegion": "us-east-1",
        }


class SqsClient:
    """boto3's client over these queues, by URL: what `bourse.aws.sqs.SqsQueues` sends with.

    `partial` names the Ids of a batch that come back as failed (an answer of 200 all the same). `cut` is told where the call stands,
    "before send_message_batch <queue>" and "after send_message_batch <queue>": what it raises is a crash, afterwards with the answer lost.
    """

    def __init__(self, queues: Mapping[str, Fifo], clock: Callable[[], datetime], *, partial: Partial = lambda _: set(), cut: Cut = lambda _: None) -> None:
        self._queues, self._clock = queues, clock
        self.partial, self.cut = partial, cut

    def send_message_batch(self, *, QueueUrl: str, Entries: list[Entry]) -> dict[str, Any]:
        """As boto3 does it: Successful and Failed by Id. Raises ClientError when the queue does not exist or the batch breaks a limit."""
        queue = self._queues.get(QueueUrl)
        if queue is None:
            raise refused("SendMessageBatch", _SIMPLE + "NonExistentQueue", "The specified queue does not exist.")
        self.cut(f"before send_message_batch {queue.name}")
        _check_batch(Entries)
        not_taken = self.partial(Entries)
        kept = [entry for entry in Entries if entry["Id"] not in not_taken]
        sent = queue.send(kept, self._clock()) if kept else []
        self.cut(f"after send_message_batch {queue.name}")
        failed = [{"Id": one.entry_id, "Code": one.refused, "SenderFault": True} for one in sent if one.refused]
        failed += [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in Entries if entry["Id"] in not_taken]
        taken = [{"Id": one.entry_id, "MessageId": one.message_id, "SequenceNumber": str(one.sequence_number)} for one in sent if not one.refused]
        return {"Successful": taken} | ({"Failed": failed} if failed else {})


def refused(operation: str, code: str, text: str) -> ClientError:
    """What boto3 raises when SQS answers with an error."""
    return ClientError({"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation)


def _check_batch(entries: list[Entry]) -> None:
    """What makes SQS refuse a whole batch."""
    faults = (
        ("EmptyBatchRequest", not entries),
        ("TooManyEntriesInBatchRequest", len(entries) > BATCH_MAX),
        ("InvalidBatchEntryId", not all(_ENTRY_ID.fullmatch(entry["Id"]) for entry in entries)),
        ("BatchEntryIdsNotDistinct", len({entry["Id"] for entry in entries}) < len(entries)),
        ("BatchRequestTooLong", sum(len(entry["MessageBody"].encode(errors="surrogatepass")) for entry in entries) > BATCH_OCTETS_MAX),
    )
    for code, found in faults:
        if found:
            raise refused("SendMessageBatch", _SIMPLE + code, f"{len(entries)} entries")


def _fault(entry: Entry) -> str:
    """What makes SQS refuse one entry of a batch, and empty when nothing does."""
    if not entry["MessageBody"] or not entry.get("MessageGroupId"):
        return "MissingParameter"
    if "DelaySeconds" in entry or not _TOKEN.fullmatch(entry["MessageGroupId"]) or not _TOKEN.fullmatch(entry.get("MessageDeduplicationId", "")):
        return "InvalidParameterValue"
    body = entry["MessageBody"]
    return "" if _is_text(body) else "InvalidMessageContents"


def _is_text(body: str) -> bool:
    """Whether SQS takes these characters. Dropping bytes and counting is many times as fast as a search."""
    return len(body.encode().translate(None, _CONTROLS)) == len(body) if body.isascii() else not _NO_TEXT.search(body)


@lru_cache(maxsize=1024)
def _milliseconds(time: datetime) -> str:
    return str((time - _EPOCH) // timedelta(milliseconds=1))
