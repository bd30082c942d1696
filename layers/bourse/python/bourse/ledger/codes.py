"""Every code a request to the general ledger's API is refused with: what it says, and what Sequence had for it. API and documents read this table."""

from typing import Final, NamedTuple


class Code(NamedTuple):
    """A sentence for people, and the code of Sequence for the same, where it had one."""

    sentence: str
    sequence: str = ""


CODES: Final[dict[str, Code]] = {
    "FIELD_MISSING": Code("a field that is needed is not there", "SEQ008"),
    "FIELD_UNKNOWN": Code("there is no such field"),
    "FIELD_INVALID": Code("the field holds something else than it can"),
    "NAME_INVALID": Code("a name has 1 to 200 letters, digits or . _ : / @ + = - and begins with a letter or digit", "SEQ702"),
    "AMOUNT_INVALID": Code("an amount is a JSON integer above 0 and below 2^63, and so is what an account has of the same tokens", "SEQ704"),
    "TIME_INVALID": Code("a time is RFC 3339 with its offset"),
    "TAGS_INVALID": Code("tags are a JSON object of at most 8,192 bytes without fractions"),
    "FEE_INVALID": Code("a fee is two whole numbers, a part of the amount between 0 and 1"),
    "NO_ACTIONS": Code("a transaction has at least one action", "SEQ707"),
    "TOO_MANY_ACTIONS": Code("a posting has at most 10,000 actions", "SEQ711"),
    "ACTION_TYPE_UNKNOWN": Code("there is no such action", "SEQ701"),
    "TRANSACTION_UNKNOWN": Code("nothing was posted under this id"),
    "FLAVOR_UNKNOWN": Code("there is no such flavor", "SEQ703"),
    "ACCOUNT_UNKNOWN": Code("there is no such account", "SEQ703"),
    "ACCOUNT_CLOSED": Code("nothing moves into or out of a closed account"),
    "ACCOUNT_NOT_EMPTY": Code("an account that holds something is not closed"),
    "SAME_ACCOUNT": Code("source and destination are the same, and nothing would change"),
    "FLOOR_INVALID": Code("a floor is a whole number not above 0; tokens are issued from and retired to accounts without one"),
    "ORDER_INVALID": Code("the order is fifo, lifo, pro_rata, or a tag"),
    "INSUFFICIENT_FUNDS": Code("fewer tokens match than are wanted; under the same id it stays refused", "SEQ760"),
    "RESERVED": Code("enough is there, but held back: try again when the holds are over", "SEQ761"),
    "BACKDATED": Code("a later instant would have stood too low; the first is named"),
    "HOLD_EXISTS": Code("there is a hold with this id already", "SEQ050"),
    "HOLD_UNKNOWN": Code("there is no such hold"),
    "HOLD_AMOUNT": Code("the hold has less left than is wanted"),
    "HOLD_OVER": Code("the hold was posted or released"),
    "HOLD_EXPIRED": Code("the hold's time is over"),
    "NOTHING_TO_DISTRIBUTE": Code("nobody holds tokens to distribute over"),
    "DISTRIBUTION_TOO_LARGE": Code("more is distributed than the tokens it would retire"),
    "GUARD_FAILED": Code("what was expected is not so any more: read again and decide again"),
    "RULE_INVALID": Code("a distribution's rule is deficit or seed_floor"),
    "REVERSAL_INVALID": Code("a reversal is of all that is left, of one part of it, or of amounts of its actions"),
    "REVERSED_BEFORE": Code("nothing of it is left to reverse"),
    "REVERSAL_AMOUNT": Code("that is more than what is left of it"),
    "NOTHING_TO_REVERSE": Code("it moved nothing"),
    "REVERSAL_TOO_EARLY": Code("a reversal happens not before what it reverses"),
    "TOKENS_SPENT": Code("the tokens were spent since; who got them is named"),
    "SIGNATURE_MISSING": Code("an account or flavor names keys, and none of them signed", "SEQ709"),
    "SIGNATURE_INVALID": Code("a signature is not the key's, or not over this", "SEQ709"),
    "QUORUM_NOT_MET": Code("fewer keys signed than must", "SEQ709"),
    "KEY_UNKNOWN": Code("there is no such key", "SEQ052"),
    "KEY_REVOKED": Code("the key, or this version of it, signs nothing any more"),
    "TOO_MANY_SIGNATURES": Code("a posting has at most 1,000 signatures"),
    "KEY_INVALID": Code("a public key is DER SubjectPublicKeyInfo of ed25519 or ecdsa_p256_sha256, in base64, and one only its holder can sign for"),
    "KEY_DIFFERS": Code("there is a key of this name with other terms, or another key with this public key", "SEQ050"),
    "QUORUM_INVALID": Code("a quorum is of at most 32 keys, each named once, and from 1 to all of them"),
    "FILTER_INVALID": Code("the text is no filter, or asks for what is not there; its place is named", "SEQ602"),
    "FILTER_PARAMS": Code("the parameters are not those the filter has", "SEQ601"),
    "GROUP_BY_INVALID": Code("it cannot be grouped by that"),
    "CURSOR_INVALID": Code("the cursor is not one that was given", "SEQ600"),
    "LIMIT_INVALID": Code("a page has 1 to 1,000 items"),
    "INTERVAL_INVALID": Code("the interval ends before it begins", "SEQ610"),
    "FEED_UNKNOWN": Code("there is no such feed"),
    "SUM_UNKNOWN": Code("there is no such sum"),
    "SUM_INVALID": Code("which tokens are in a materialised sum, and in which group, does not depend on the amount"),
    "FEED_MOVED_ON": Code("the feed stands elsewhere by now: another consumer, or an earlier try, has acknowledged"),
    "FEED_DIFFERS": Code("there is a feed of this name with another question", "SEQ050"),
    "SUM_DIFFERS": Code("there is a sum of this name with another question", "SEQ050"),
    "TRANSACTION_DIFFERS": Code("another request was posted or refused under this id; the field that differs is named", "SEQ050"),
    "ACCOUNT_DIFFERS": Code("there is an account of this name with other terms", "SEQ050"),
    "FLAVOR_DIFFERS": Code("there is a flavor of this name with other tags", "SEQ050"),
}

SHAPE: Final = ("FIELD_MISSING", "FIELD_UNKNOWN", "FIELD_INVALID", "NAME_INVALID", "TIME_INVALID", "TAGS_INVALID")
ASKING: Final = ("FILTER_INVALID", "FILTER_PARAMS")
NAMING_KEYS: Final = ("KEY_UNKNOWN", "QUORUM_INVALID")
PAGING: Final = ("CURSOR_INVALID", "LIMIT_INVALID")
READING: Final = (
    *SHAPE,
    "ACTION_TYPE_UNKNOWN",
    "AMOUNT_INVALID",
    "FEE_INVALID",
    "ORDER_INVALID",
    "RULE_INVALID",
    "FLOOR_INVALID",
    "REVERSAL_INVALID",
    "NO_ACTIONS",
    "TOO_MANY_ACTIONS",
    *ASKING,
)
"""What a transaction's document may be refused with."""
POSTING: Final = (
    *READING,
    "FLAVOR_UNKNOWN",
    "ACCOUNT_UNKNOWN",
    "ACCOUNT_CLOSED",
    "SAME_ACCOUNT",
    "INSUFFICIENT_FUNDS",
    "RESERVED",
    "BACKDATED",
    "HOLD_EXISTS",
    "HOLD_UNKNOWN",
    "HOLD_AMOUNT",
    "HOLD_OVER",
    "HOLD_EXPIRED",
    "NOTHING_TO_DISTRIBUTE",
    "DISTRIBUTION_TOO_LARGE",
    "GUARD_FAILED",
    "TRANSACTION_UNKNOWN",
    "REVERSED_BEFORE",
    "REVERSAL_AMOUNT",
    "NOTHING_TO_REVERSE",
    "REVERSAL_TOO_EARLY",
    "TOKENS_SPENT",
    "SIGNATURE_MISSING",
    "SIGNATURE_INVALID",
    "QUORUM_NOT_MET",
    "KEY_UNKNOWN",
    "KEY_REVOKED",
    "TOO_MANY_SIGNATURES",
)
"""What a posting may be refused with."""
