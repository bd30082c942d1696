"""Messages: what is said is what is heard, as text a queue takes, and nothing else gets through the door."""

from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest
from bourse import flow
from bourse.assessment.events import SellOffer, SellOffersPlaced
from bourse.assets.events import RecordRef, RecordsRead, UploadReady
from bourse.errors import Refused
from bourse.message import BODY_BYTES_MAX, Envelope, Message, decode, encode, message_id

READY = UploadReady(
    message_id=message_id(UploadReady.kind, "t1", "acme", 7),
    tenant_id="t1",
    correlation_id="upl_00000007_abc",
    originator_id="acme",
    upload_seq=7,
    key="t1/acme/00000007-upl_00000007_abc.bson",
)


def _offers(count: int) -> SellOffersPlaced:
    offers = tuple(
        SellOffer(
            offer_id=f"off_{n}",
            version=1,
            loan_id=f"L{n}",
            originator_id="acme",
            product_id="p",
            volume=100_00,
            partial_sale=True,
            lot_min=25_00,
            sell_ratio=Decimal("0.995"),
            labels={"grade": "A", "zip": "01234"},
            numbers={"interest_rate": Decimal("12.990")},
        )
        for n in range(count)
    )
    return SellOffersPlaced(
        message_id="msg_x", tenant_id="t1", correlation_id="c", book_id="t1/USD/loan", said_at=datetime(2026, 1, 2, tzinfo=UTC), offers=offers
    )


@pytest.mark.parametrize("message", [READY, _offers(1), _offers(200)], ids=["small", "one offer", "a full chunk"])
def test_what_is_said_is_what_is_heard(message: Message) -> None:
    assert decode(encode(message), type(message)) == message


def test_a_full_chunk_is_compressed_into_one_billing_unit() -> None:
    assert len(encode(_offers(200))) < 64 * 1024


def test_a_word_that_looks_like_a_number_stays_a_word_and_a_rate_keeps_its_digits() -> None:
    heard = decode(encode(_offers(1)), SellOffersPlaced).offers[0]
    assert heard.labels["zip"] == "01234"
    assert str(heard.numbers["interest_rate"]) == "12.990"


def test_bytes_travel_as_they_are() -> None:
    records = (RecordRef(record_no=0, byte_offset=0, loan_id="L", content_hash="00"),)
    said = RecordsRead(
        message_id="m", tenant_id="t", correlation_id="c", originator_id="o", upload_seq=1, chunk_no=0, shard=3, records=records, documents=bytes(range(256))
    )
    assert decode(encode(said), RecordsRead).documents == bytes(range(256))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "MESSAGE_MALFORMED"),
        ("[]", "MESSAGE_MALFORMED"),
        ('{"kind":"upload_ready.v1"}', "MESSAGE_MALFORMED"),
        (encode(READY).replace("upload_ready.v1", "upload_ready.v9"), "MESSAGE_UNKNOWN"),
        (encode(READY).replace('"upload_seq":7', '"upload_seq":"seven"'), "MESSAGE_MALFORMED"),
        (encode(READY).replace('"upload_seq":7', '"upload_seq":7,"tenant":"t2"'), "MESSAGE_MALFORMED"),
        (encode(_offers(200)).replace('"facts":"', '"facts":"AAAA'), "MESSAGE_MALFORMED"),
    ],
)
def test_what_is_no_message_is_refused_with_a_code(body: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        Envelope(body).read(flow.messages())
    assert refused.value.code == code


def test_a_refusal_does_not_quote_what_was_sent() -> None:
    with pytest.raises(Refused) as refused:
        decode(encode(READY).replace('"upload_seq":7', '"upload_seq":"Jane Doe"'), UploadReady)
    assert "Jane" not in str(refused.value)


def test_a_chunk_that_no_queue_would_take_is_a_bug_of_its_sender() -> None:
    huge = READY.model_copy(update={"key": "k" * (BODY_BYTES_MAX + 1)})
    raw = type("Raw", (UploadReady,), {"compresses": False})
    with pytest.raises(AssertionError, match="chunk it"):
        encode(raw(**orjson.loads(huge.model_dump_json())))
