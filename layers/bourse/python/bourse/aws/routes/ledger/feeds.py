"""Feeds: what was posted, in one order for ever, handed to a consumer until he acknowledges it."""

from typing import Annotated, Any, Final, Literal

from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import Field, StrictStr

from bourse.aws.api import Api
from bourse.aws.routes.ledger.actions import ACTION_EXAMPLE, ActionAnswer
from bourse.aws.routes.ledger.asking import Answer, Dropped, Filtered, QueryLimit, Request, answers
from bourse.aws.routes.ledger.ports import LedgerPorts, named, or_not_found
from bourse.aws.routes.ledger.transactions import TransactionAnswer
from bourse.ledger import codes
from bourse.ledger.actions import PostedMove
from bourse.ledger.feeds import Feed, FeedPage

_ASKED: Final = {"kind": "actions", "filter": "tags.type = $1", "params": ["deposit"], "start": "now"}
_FEED: Final = {"feed_id": "deposits", **_ASKED}
_CURSORS: Final = {"old_cursor": "WyI3NDIiLCIwIiwiMCJd", "new_cursor": "WyI3NTEiLCIxNyIsIjEiXQ"}
_PAGE: Final = {
    "items": [{"cursor": _CURSORS["new_cursor"], "action": ACTION_EXAMPLE, "transaction": None}],
    "cursor": _CURSORS["old_cursor"],
    "next_cursor": _CURSORS["new_cursor"],
}
FeedId = Annotated[str, Path(examples=["deposits"])]
GivenCursor = Annotated[StrictStr, Field(max_length=4_096)]


class FeedBody(Filtered):
    """Which actions or transactions, and from when on."""

    kind: Literal["actions", "transactions"]
    start: Annotated[Literal["now", "beginning"], Field(description="With what is posted from now on, or with the first transaction there is")] = "now"


class FeedAnswer(Answer):
    """A feed."""

    feed_id: str
    kind: str
    filter: str
    params: list[Any]
    start: str


class FedTransaction(TransactionAnswer):
    """A transaction with its actions."""

    actions: list[ActionAnswer]


class FedItem(Answer):
    """What was posted, by the kind of the feed, and the cursor after it."""

    cursor: str
    action: ActionAnswer | None = None
    transaction: FedTransaction | None = None


class FedPage(Answer):
    """What comes after the feed's position, oldest first. `cursor` is that position, `next_cursor` the one after the page, which may have moved on though
    nothing matched."""

    items: list[FedItem]
    cursor: str
    next_cursor: str


class Acknowledgement(Request):
    """Where the page was read, and a cursor of that page: of an item, or `next_cursor`."""

    old_cursor: GivenCursor
    new_cursor: GivenCursor


class FeedStands(Answer):
    """Where a feed stands now."""

    cursor: str


def add_feed_routes(api: Api, ports: LedgerPorts) -> None:
    """Routes of feeds."""
    _keeping(api, ports)
    _consuming(api, ports)


def _keeping(api: Api, ports: LedgerPorts) -> None:
    @api.app.put(
        "/v1/ledger/feeds/<feed_id>",
        summary="Open a feed; the same again changes nothing",
        tags=["ledger feeds"],
        responses=answers(FeedAnswer, _FEED, refused=("NAME_INVALID", *codes.ASKING), conflicts=("FEED_DIFFERS",)),
    )
    def opened(feed_id: FeedId, body: Annotated[FeedBody, Body(examples=[_ASKED])]) -> FeedAnswer:
        feed = Feed(named(feed_id), body.kind, body.filter, tuple(body.params), body.start)
        ports.books().open_feed(api.caller().tenant_id, feed)
        return FeedAnswer.model_validate(feed)

    @api.app.get("/v1/ledger/feeds", summary="All feeds, by their names", tags=["ledger feeds"], responses=answers(list[FeedAnswer], [_FEED]))
    def listed() -> list[FeedAnswer]:
        return [FeedAnswer.model_validate(one) for one in ports.books().feeds(api.caller().tenant_id)]

    @api.app.delete(
        "/v1/ledger/feeds/<feed_id>",
        summary="Drop a feed; one that is not there stays so",
        tags=["ledger feeds"],
        responses=answers(Dropped, {"dropped": "deposits"}),
    )
    def dropped(feed_id: FeedId) -> Dropped:
        ports.books().drop_feed(api.caller().tenant_id, named(feed_id))
        return Dropped(dropped=named(feed_id))


def _consuming(api: Api, ports: LedgerPorts) -> None:
    @api.app.get(
        "/v1/ledger/feeds/<feed_id>",
        summary="What comes after the feed's position, oldest first: the same until it is acknowledged",
        tags=["ledger feeds"],
        responses=answers(FedPage, _PAGE, missing=("FEED_UNKNOWN",)),
    )
    def page(feed_id: FeedId, limit: QueryLimit = 100) -> FedPage:
        with or_not_found("FEED_UNKNOWN"):
            return _fed(ports.books().feed_page(api.caller().tenant_id, named(feed_id), limit=limit))

    @api.app.patch(
        "/v1/ledger/feeds/<feed_id>",
        summary="Acknowledge: move the feed on from where it was read, if it stands there still",
        description="At FEED_MOVED_ON another consumer, or an earlier try of this request, has acknowledged: read on from where the feed stands.",
        tags=["ledger feeds"],
        responses=answers(FeedStands, {"cursor": _CURSORS["new_cursor"]}, missing=("FEED_UNKNOWN",), refused=("CURSOR_INVALID",), conflicts=("FEED_MOVED_ON",)),
    )
    def acknowledged(feed_id: FeedId, body: Annotated[Acknowledgement, Body(examples=[_CURSORS])]) -> FeedStands:
        with or_not_found("FEED_UNKNOWN"):
            ports.books().ack_feed(api.caller().tenant_id, named(feed_id), body.old_cursor, body.new_cursor)
        return FeedStands(cursor=body.new_cursor)


def _fed(page: FeedPage[Any]) -> FedPage:
    found = []
    for item, cursor in zip(page.items, page.cursors, strict=True):
        if isinstance(item, PostedMove):
            found.append(FedItem(cursor=cursor, action=ActionAnswer.model_validate(item)))
        else:
            found.append(FedItem(cursor=cursor, transaction=FedTransaction.model_validate(item)))
    return FedPage(items=found, cursor=page.cursor, next_cursor=page.next_cursor)
