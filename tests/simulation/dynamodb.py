"""DynamoDB as AWS documents it, as far as our adapters ask of it: boto3's client over tables in memory, without a clock and without chance.

Where AWS may choose (an old state of an item, keys left unprocessed, a transaction in the way) `Around` chooses. What our adapters do not use, an
operation, a parameter or a type of attribute, is an AssertionError that names it. Not modelled: indexes, streams, capacity, expiry.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, Protocol, TypeVar

from botocore.exceptions import ClientError, ParamValidationError, ReadTimeoutError
from bourse.errors import Unavailable

from tests.simulation.dynamodb_expressions import Condition, Malformed, change, check_use, condition, projection
from tests.simulation.dynamodb_tables import LAST, Item, Key, Table, kept, octets_of

One = TypeVar("One")
Found = TypeVar("Found")
ITEM_OCTETS_MAX, PAGE_OCTETS_MAX, TRANSACTION_OCTETS_MAX = 400 * 1024, 1 << 20, 4 << 20
KEYS_MAX = ACTIONS_MAX = 100
_FAILED: Final = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
_ONGOING: Final = {"Code": "TransactionConflict", "Message": "Transaction is ongoing for the item"}
_TOO_FAST: Final = {"Code": "ThrottlingError", "Message": "Throughput exceeds the current capacity of your table or index"}
_NOTHING: Final[Mapping[str, Any]] = {}


class Exceptions:
    """`client.exceptions`, as boto3 names them. Errors without a class of their own are ClientErrors."""

    class ConditionalCheckFailedException(ClientError): ...

    class ProvisionedThroughputExceededException(ClientError): ...

    class ResourceNotFoundException(ClientError): ...

    class TransactionCanceledException(ClientError): ...

    class TransactionConflictException(ClientError): ...


GAVE_UP: Final = (Exceptions.ProvisionedThroughputExceededException, Exceptions.TransactionConflictException, ReadTimeoutError)
"""What a caller may see at any time, when boto3 has used up its retries: the same call may succeed later."""


class Around(Protocol):
    """What happens at a call, and what AWS chooses there."""

    def cut(self, name: str, after: bool) -> None:
        """Before a call's effect, or after it. Raises Unavailable for a throttle, or an answer that is lost, in spite of boto3's retries."""

    def touches(self, operation: str, table: str, pk: str, sk: str) -> None: ...

    def strikes(self, fault: str) -> bool:
        """stale | conflict | unprocessed | retried | torn"""
        ...

    def chosen(self, most: int) -> int:
        """A number from 0, below `most`."""
        ...

    def meanwhile(self) -> None:
        """The rest of the world goes on in the middle of a call."""


class Calm:
    """Where nothing happens at a call, and AWS has no choice."""

    def cut(self, name: str, after: bool) -> None: ...

    def touches(self, operation: str, table: str, pk: str, sk: str) -> None: ...

    def strikes(self, fault: str) -> bool:
        return False

    def chosen(self, most: int) -> int:
        return 0

    def meanwhile(self) -> None: ...


class DynamoClient:
    """boto3's client, of the tables by their names. A call that fails by what the caller did raises as boto3 does."""

    exceptions = Exceptions

    def __init__(self, tables: Mapping[str, Table], around: Around | None = None) -> None:
        self._tables, self._around = tables, around or Calm()

    def __getattr__(self, operation: str) -> NoReturn:
        raise AssertionError(f"the simulation's DynamoDB does not know {operation}")

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool = False, **more: Any) -> Item:
        def get() -> Item:
            item = self._seen(table, ConsistentRead)(key)
            return {"Item": dict(item)} if item is not None else {}

        table = self._table("GetItem", TableName, more)
        key = _checked("GetItem", lambda: table.key_of(Key, whole=True))
        return self._call("get_item", [(table, key)], get)

    def batch_get_item(self, *, RequestItems: Mapping[str, Item], **more: Any) -> Item:
        assert len(RequestItems) == 1, "the simulation's DynamoDB reads batches of one table"
        [(name, asked)] = RequestItems.items()
        table = self._table("BatchGetItem", name, more)
        assert asked.keys() <= {"Keys", "ConsistentRead"}, f"the simulation's DynamoDB does not know {sorted(asked)} of a batch"
        _at_least_one(asked["Keys"], "Keys")
        keys = _checked("BatchGetItem", lambda: _distinct([table.key_of(key, whole=True) for key in asked["Keys"]]))

        def get() -> Item:
            done = keys[: 1 + self._around.chosen(len(keys) - 1)] if len(keys) > 1 and self._around.strikes("unprocessed") else keys
            half = len(done) // 2 if self._around.strikes("torn") else 0
            found = self._read(table, done[:half], asked)
            if half:
                self._around.meanwhile()
            found += self._read(table, done[half:], asked)
            left = asked | {"Keys": [table.named(key) for key in keys[len(done) :]]}
            return {"Responses": {name: found}, "UnprocessedKeys": {name: left} if len(done) < len(keys) else {}}

        return self._call("batch_get_item", [(table, key) for key in keys], get)

    def _read(self, table: Table, keys: Sequence[Key], asked: Item) -> list[Item]:
        seen = self._seen(table, asked.get("ConsistentRead", False))
        return [dict(item) for key in keys if (item := seen(key)) is not None]

    def query(self, *, TableName: str, KeyConditionExpression: str, ExpressionAttributeValues: Item, **more: Any) -> Item:
        consistent, forward = more.pop("ConsistentRead", False), more.pop("ScanIndexForward", True)
        most, start, names = more.pop("Limit", None), more.pop("ExclusiveStartKey", None), more.pop("ExpressionAttributeNames", None)
        filtered, projected = more.pop("FilterExpression", None), more.pop("ProjectionExpression", None)
        table = self._table("Query", TableName, more)
        by, only = condition(KeyConditionExpression), condition(filtered) if filtered else None
        shown, of = projection(projected) if projected else ((), frozenset[str]())
        _checked("Query", lambda: check_use(names, ExpressionAttributeValues, by, only, shown=of))
        pk, first, last = _checked("Query", lambda: _range(table, by, names or _NOTHING, ExpressionAttributeValues))
        after = _checked("Query", lambda: table.key_of(start, whole=True)) if start else None

        def query() -> Item:
            seen, found, evaluated, octets = self._seen(table, consistent), list[Item](), 0, 0
            keys = [key for key in table.between(pk, first, last) if not after or (key > after if forward else key < after)]
            for at in keys if forward else reversed(keys):
                if (item := seen(at)) is None:
                    continue
                octets += octets_of(item)
                if octets > PAGE_OCTETS_MAX and evaluated:
                    break
                evaluated, came_to = evaluated + 1, at
                if only is None or only.holds(item, names or _NOTHING, ExpressionAttributeValues):
                    found.append({name: item[name] for one in shown if (name := (names or _NOTHING).get(one, one)) in item} if shown else dict(item))
                if evaluated == most:
                    break
            else:
                return {"Items": found, "Count": len(found), "ScannedCount": evaluated}
            return {"Items": found, "Count": len(found), "ScannedCount": evaluated, "LastEvaluatedKey": table.named(came_to)}

        return self._call("query", [(table, (pk, ""))], query)

    def put_item(self, *, TableName: str, **put: Any) -> Item:
        return self._write("put_item", "Put", {"TableName": TableName, **put})

    def update_item(self, *, TableName: str, **update: Any) -> Item:
        return self._write("update_item", "Update", {"TableName": TableName, **update})

    def transact_write_items(self, *, TransactItems: Sequence[Item], **more: Any) -> Item:
        """All actions or none. boto3 gives each call a ClientRequestToken of its own, so its retries change nothing."""
        assert not more, f"the simulation's DynamoDB does not know {sorted(more)} of a transaction"
        operation, around = "TransactWriteItems", self._around
        _at_least_one(TransactItems, "TransactItems")
        actions = [self._action(operation, *one) for action in TransactItems for one in action.items()]
        _checked(operation, lambda: _distinct([(one.table.name, *one.key) for one in actions]))

        def transact() -> Item:
            reasons = [one.fault() for one in actions]
            if around.strikes("conflict"):
                reasons[around.chosen(len(reasons))] = _ONGOING
            if any(reasons):
                raise _cancelled(reasons)
            if sum(octets_of(one.after or one.table.named(one.key)) for one in actions) > TRANSACTION_OCTETS_MAX:
                raise _invalid(operation, "Collection size of the transaction exceeds 4 MB")
            for one in actions:
                one.table.write(one.key, one.after)
            return {}

        try:
            return self._call("transact_write_items", [(one.table, one.key) for one in actions], transact)
        except Exceptions.ProvisionedThroughputExceededException:
            if around.chosen(2):
                raise
            raise _cancelled([_TOO_FAST] + [None] * (len(actions) - 1)) from None

    def _write(self, name: str, kind: str, request: Item) -> Item:
        """One item is put or updated; a retry of boto3 may meet what its first attempt did."""
        operation, around = f"{kind}Item", self._around
        action = self._action(operation, kind, request)

        def write() -> Item:
            if reason := action.fault():
                error = Exceptions.ConditionalCheckFailedException if reason is _FAILED else ClientError
                raise _error(error, operation, "ConditionalCheckFailedException" if reason is _FAILED else "ValidationException", reason["Message"])
            if around.strikes("conflict"):
                raise _error(Exceptions.TransactionConflictException, operation, "TransactionConflictException", _ONGOING["Message"])
            action.table.write(action.key, action.after)
            return {}

        def attempts() -> Item:
            answer = write()
            if not around.strikes("retried"):
                return answer
            around.meanwhile()
            return write()

        return self._call(name, [(action.table, action.key)], attempts)

    def _action(self, operation: str, kind: str, request: Item) -> "_Action":
        request = dict(request)
        table = self._table(operation, request.pop("TableName"), _NOTHING)
        return _checked(operation, lambda: _Action(table, kind, request))

    def _table(self, operation: str, name: str, unknown: Mapping[str, Any]) -> Table:
        assert not unknown, f"the simulation's DynamoDB does not know {sorted(unknown)} of {operation}"
        if name not in self._tables:
            raise _error(Exceptions.ResourceNotFoundException, operation, "ResourceNotFoundException", "Requested resource not found")
        return self._tables[name]

    def _seen(self, table: Table, consistent: bool) -> Callable[[Key], Item | None]:
        """How a read sees an item: as it is, or, if it may, as it was some writes ago."""
        if consistent or not self._around.strikes("stale"):
            return table.items.get
        was = table.earlier(1 + self._around.chosen(20))
        return lambda key: was[key] if key in was else table.items.get(key)

    def _call(self, name: str, keys: Iterable[tuple[Table, Key]], effect: Callable[[], Item]) -> Item:
        around = self._around
        for table, (pk, sk) in keys:
            around.touches(name, table.name, pk, sk)
        try:
            around.cut(f"dynamodb.{name}", False)
        except Unavailable as throttle:
            raise _error(Exceptions.ProvisionedThroughputExceededException, name, "ProvisionedThroughputExceededException", _TOO_FAST["Message"]) from throttle
        answer = effect()
        try:
            around.cut(f"dynamodb.{name}", True)
        except Unavailable as lost:
            raise ReadTimeoutError(endpoint_url="https://dynamodb") from lost
        return answer


class _Action:
    """A write of one item: what must hold of it, and what it becomes. Raises Malformed."""

    def __init__(self, table: Table, kind: str, request: Item) -> None:
        assert kind in _ASKS, f"the simulation's DynamoDB does not know {kind}"
        assert request.keys() <= _ASKS[kind] | _CONDITION, (
            f"the simulation's DynamoDB does not know {sorted(request.keys() - _ASKS[kind] - _CONDITION)} of {kind}"
        )
        text, names, values = (request.get(name) for name in ("ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"))
        self.table: Final = table
        self.key: Final = table.key_of(request["Item"] if kind == "Put" else request["Key"], whole=kind != "Put")
        self.after: Item | None = kept(request["Item"]) if kind == "Put" else None
        self._condition = condition(text) if text is not None else None
        self._change = change(request["UpdateExpression"]) if kind == "Update" else None
        self._names, self._values = names or _NOTHING, values or _NOTHING
        check_use(names, values, self._condition, self._change)
        if self._change:
            self._sets = {self._names.get(name, name): one for name, one in self._change.sets}
            if not self._sets.keys().isdisjoint(table.keys):
                raise Malformed("Cannot update attribute: this attribute is part of the key")
        elif self.after and octets_of(self.after) > ITEM_OCTETS_MAX:
            raise Malformed("Item size has exceeded the maximum allowed size")

    def fault(self) -> Item | None:
        """Why it cannot be done now; None: it can, and `after` is what becomes of the item."""
        item = self.table.items.get(self.key)
        if self._condition and not self._condition.holds(item or _NOTHING, self._names, self._values):
            return _FAILED
        if self._change:
            self.after = (item or self.table.named(self.key)) | kept({name: self._values[value] for name, value in self._sets.items()})
            if octets_of(self.after) > ITEM_OCTETS_MAX:
                return {"Code": "ValidationError", "Message": "Item size to update has exceeded the maximum allowed size"}
        return None


_CONDITION: Final = {"ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
_ASKS: Final = {"Put": {"Item"}, "Update": {"Key", "UpdateExpression"}, "Delete": {"Key"}}


def _range(table: Table, by: Condition, names: Mapping[str, str], values: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a key condition asks for: the partition, and its first and last sort key. Raises Malformed."""
    whole, sort = (by.tree[1], by.tree[2]) if by.tree[0] == "and" else (by.tree, None)
    assert (whole[0], names.get(whole[1], whole[1])) == ("=", table.keys[0]), f"the simulation's DynamoDB does not know the key condition {by.tree}"
    pk, first, last = values[whole[2]].get("S"), "", LAST
    if sort:
        assert sort[0] in {"=", "between", "begins_with"}, f"the simulation's DynamoDB does not know the key condition {sort}"
        assert names.get(sort[1], sort[1]) == table.keys[1], f"the simulation's DynamoDB does not know the key condition {sort}"
        first, last = values[sort[2]]["S"], values[sort[-1]]["S"] + (LAST if sort[0] == "begins_with" else "")
        if last < first:
            raise Malformed("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
    if not pk or (sort and sort[0] != "begins_with" and not first):
        raise Malformed("One or more parameter values are not valid: a key value is empty")
    return pk, first, last


def _distinct(keys: list[One]) -> list[One]:
    if len(keys) > KEYS_MAX:
        raise Malformed("Member must have length less than or equal to 100")
    if len(set(keys)) < len(keys):
        raise Malformed("Provided list of item keys contains duplicates, or a transaction multiple operations on one item")
    return keys


def _at_least_one(asked: Sequence[Any], name: str) -> None:
    if not asked:
        raise ParamValidationError(report=f"Invalid length for parameter {name}, value: 0, valid min length: 1")


def _checked(operation: str, check: Callable[[], Found]) -> Found:
    try:
        return check()
    except Malformed as malformed:
        raise _invalid(operation, str(malformed)) from malformed


def _invalid(operation: str, text: str) -> ClientError:
    return _error(ClientError, operation, "ValidationException", text)


def _cancelled(reasons: Sequence[Item | None]) -> ClientError:
    codes = [reason["Code"] if reason else "None" for reason in reasons]
    told = [reason or {"Code": "None"} for reason in reasons]
    kind = Exceptions.TransactionCanceledException
    return _error(kind, "TransactWriteItems", "TransactionCanceledException", f"Transaction cancelled {codes}", CancellationReasons=told)


def _error(made: type[ClientError], operation: str, code: str, text: str, **more: Any) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": 400}, **more}
    return made(answer, operation)
