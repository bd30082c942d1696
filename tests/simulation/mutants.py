"""Faults that were planted to see whether the simulation finds them: each is a change of the deployed code, and a world must break by it.

The first six are those every such marketplace has had: a cache without a fence, effects that are not idempotent, a marker before its effect, a batch
that goes on after a failure, files in the order they arrive, and ids that are made anew for the same message.
"""

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from tests.simulation.faults import Options
from tests.simulation.promises import Broken
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Mutant:
    """What is changed in which module: pairs of what stands there, once, and what stands there instead."""

    name: str
    module: str
    changes: tuple[tuple[str, str], ...]
    seed: int = 0
    """Where a world broke by it when it was last looked for (`--mutants`): looking from there finds it at once, as long as worlds stay what they are."""
    options: Options | None = None
    """The faults of the worlds it is looked for in, where those that are drawn seldom meet its moment."""


MUTANTS = (
    Mutant(
        "a warm book without a fence",
        "bourse.matching.match_offers",
        (("match books.commit(book_id, expected,", "match books.commit(book_id, books.load(book_id, ()).version,"),),
        seed=45,
    ),
    Mutant(
        "a deposit is booked each time it is told",
        "bourse.ledger.posting",
        (
            (
                'txn_id = derive("txn", tenant_id, kind, system, external_id)\n    return',
                'txn_id = derive("txn", tenant_id, kind, system, external_id, at.isoformat())\n    return',
            ),
        ),
        seed=11,
    ),
    Mutant(
        "the outbox forgets before it sends",
        "bourse.aws.outbox",
        (("            queues.send(said)\n", ""), ("        sent += len(said)\n", "        queues.send(said)\n        sent += len(said)\n")),
    ),
    Mutant("a batch goes on in a group that failed", "bourse.aws.worker", (("                halted.add(group)\n", ""),), seed=105),
    Mutant("files are read as they arrive", "bourse.assets.read_upload", (("        if waits(slot, uploads):\n", "        if slot is None:\n"),)),
    Mutant("a batch is done though nothing was sent", "bourse.aws.worker", (("            self._report.write(failed=True)\n            raise\n", ""),)),
    Mutant(
        "a part of a batch that was taken is the whole",
        "bourse.aws.sqs",
        (('if failed := answer.get("Failed"):', 'if (failed := answer.get("Failed")) and not answer:'),),
        seed=62,
    ),
    Mutant(
        "the same message has another id each time",
        "bourse.message",
        (
            ("def message_id(", "_MADE = __import__('itertools').count()\n\n\ndef message_id("),
            ('return derive("msg", kind, *cause)', 'return derive("msg", kind, *cause, next(_MADE))'),
        ),
    ),
    Mutant(
        "an object nobody told of is not looked for", "bourse.assets.sweep_uploads", (("        if objects.exists(slot.key):\n", "        if slot is None:\n"),)
    ),
    Mutant(
        "what was read is remembered before it is said",
        "bourse.assets.read_upload",
        (
            ("            self._send(segment)\n            counts", "            counts"),
            ("return self._closed(self._remember(segment), counts)", "return (self._closed(self._remember(segment), counts), self._send(segment))[0]"),
            ("            self._remember(segment)\n            if", "            self._remember(segment)\n            self._send(segment)\n            if"),
        ),
        seed=24,
    ),
    Mutant(
        "what is repaid stays on offer",
        "bourse.assets.version_assets",
        (("return (*_assess(said, heads), *_withdraw(said, heads),", "return (*_assess(said, heads),"),),
        seed=43,
    ),
    Mutant("one tenant's journal is not sealed", "bourse.ledger.seal", (("for tenant_id in seals.tenants():", "for tenant_id in seals.tenants()[1:]:"),)),
    Mutant("twice as much is asked for", "bourse.trading.plan_purchases", (("        volume=bucket.volume,\n", "        volume=bucket.volume * 2,\n"),)),
    Mutant(
        "bids are settled in another tenant's books",
        "bourse.ledger.settle_investments",
        (("ledger.settle(published,", 'ledger.settle(published.model_copy(update={"tenant_id": "t0"}),'),),
    ),
    Mutant("a slot nobody filled stays open", "bourse.assets.sweep_uploads", (("        if now < slot.expires_at + GRACE or", "        if slot or"),)),
    Mutant("what was asked is logged", "bourse.aws.api", (("self.app.template or _NO_PATH", "event.get('body') or _NO_PATH"),)),
    Mutant(
        "a book that was moved and not committed stays on the shelf",
        "bourse.matching.match_offers",
        (("        return self._books.pop(book_id, None)\n", "        return self._books.get(book_id)\n"),),
    ),
    Mutant(
        "versions that were not written count as written",
        "bourse.assets.version_assets",
        (("        if not versions.append(", "        if [] != versions.append("),),
    ),
    Mutant(
        "a transaction that met another counts as done",
        "bourse.aws.items",
        (("        return reasons\n    return []", '        return reasons if "ConditionalCheckFailed" in reasons else []\n    return []'),),
    ),
    Mutant("a lost head is not made again", "bourse.assets.dynamodb_versions", (("                self._mend_heads(", "                tuple("),), seed=40),
    Mutant(
        "a slot is kept over another's change",
        "bourse.assets.dynamodb_uploads",
        (('"revision = :before"', '"revision = :before or attribute_exists(pk)"'),),
    ),
    Mutant(
        "pages are read as they may have been", "bourse.aws.items", (("dynamodb.query(ConsistentRead=True", "dynamodb.query(ConsistentRead=False"),), seed=21
    ),
    Mutant(
        "a chunk's result is kept over another's",
        "bourse.assets.dynamodb_versions",
        (("Item=item, ConditionExpression=_ABSENT)", "Item=item)"),),
        seed=60,
    ),
    Mutant(
        "a row for readers is put over another's",
        "bourse.matching.dynamodb",
        (('"ConditionExpression": "digest = :read"', '"ConditionExpression": "digest = :read or attribute_exists(pk)"'),),
        seed=412,
        options=Options(aim="match_offers", slow=0.3, outlived=0.5),
    ),
    Mutant(
        "a batch of items is read as it may be old",
        "bourse.aws.items",
        (('"ConsistentRead": True}})', '"ConsistentRead": False}})'),),
        seed=120,
        options=Options(aim="version_assets", stale=0.5),
    ),
    Mutant(
        "a query is answered as it may be old",
        "bourse.aws.items",
        (("dynamodb.query(ConsistentRead=True,", "dynamodb.query("),),
        seed=20,
        options=Options(aim="intake", stale=0.5),
    ),
)

HARMLESS = (
    Mutant(
        "a chunk is not remembered",
        "bourse.assets.version_assets",
        (("    if kept := chunks.result(ref):", "    if (kept := chunks.result(ref)) and not ref:"),),
    ),
    Mutant(
        "keys that were left unprocessed are forgotten",
        "bourse.aws.items",
        (('asked = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", ())', "asked = ()"),),
        options=Options(aim="version_assets", unprocessed=0.5),
    ),
    Mutant(
        "a book's head is read as it may be old",
        "bourse.matching.dynamodb",
        (("ConsistentRead=True", "ConsistentRead=False"),),
        options=Options(aim="match_offers", stale=0.5),
    ),
    Mutant(
        "an upload is read as it may be old",
        "bourse.assets.dynamodb_uploads",
        (("ConsistentRead=True", "ConsistentRead=False"),),
        options=Options(aim="intake", stale=0.5),
    ),
)
"""Faults that do no harm, because something else holds: versions that came second say no more, and what was read is the condition of what is written."""


_NOT_A_FAULT = ("TypeError", "NameError", "AttributeError", "SyntaxError")
"""What a change that fits the code no more would break with, and seem to be found."""


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The module runs with its change; environments that start from now on have it."""
    module = importlib.import_module(mutant.module)
    assert module.__file__, "a module has a file"
    text = Path(module.__file__).read_text()
    for was, becomes in mutant.changes:
        assert text.count(was) == 1, f"{mutant.name}: {was!r} stands {text.count(was)} times in {mutant.module}"
        text = text.replace(was, becomes)
    before = dict(vars(module))
    exec(compile(text, module.__file__, "exec"), vars(module))
    changed = {name: made for name, made in vars(module).items() if isinstance(made, FunctionType) and made.__module__ == mutant.module}
    elsewhere = [
        (vars(other), name, before[name])
        for other in list(sys.modules.values())
        if other is not module and getattr(other, "__name__", "").startswith(("bourse.", "tests.simulation."))
        for name in changed
        if vars(other).get(name) is before.get(name)
    ]
    for names, name, _ in elsewhere:
        names[name] = changed[name]
    try:
        yield
    finally:
        vars(module).clear()
        vars(module).update(before)
        for names, name, was in elsewhere:
            names[name] = was


def caught(mutant: Mutant, seeds: Iterable[int]) -> tuple[int, int, str] | None:
    """The first of these seeds whose world breaks, after how many steps, and by which promise; None: all these worlds hold."""
    with planted(mutant):
        for seed in seeds:
            world = World(seed, mutant.options)
            try:
                world.run()
            except Broken as broken:
                found = str(broken)
                assert not any(name in found for name in _NOT_A_FAULT), f"{mutant.name} does not run: {found}"
                return seed, world.steps, found
    return None
