"""What each difference a check finds means, and what to do next: for whoever is called at night. A table, and the tests hold it complete."""

from typing import Final, NamedTuple

from bourse.ledger.checker import Code


class Finding(NamedTuple):
    """What a difference means, and what is done about it."""

    means: str
    do: str


_TAMPERED: Final = (
    "stop postings of this tenant, keep the database as it is (a snapshot of its disks), compare the entry with an export or a replica from before, "
    "and find out who wrote to the tables"
)
_PROJECTION: Final = "the journal is right: export, import into an empty database under the same tenant, check there, and move over"
_LOT: Final = Finding("what an account holds is not what its moves add up to: it may be shown or spend too much or too little", f"stop postings; {_PROJECTION}")
_FOLLOWS: Final = Finding("something kept to answer faster is not what it follows from: answers and checks may be wrong, money is not lost", "")
_CHAIN: Final = Finding("what was sealed is not what is there: somebody changed the journal or its chain after the fact", _TAMPERED)
_SIGNED: Final = Finding("a signature that a posting stood on does not prove it any more", _TAMPERED)
_JOURNAL: Final = Finding("the journal contradicts itself: part of a transaction is missing, changed or added", _TAMPERED)

FINDINGS: Final[dict[Code, Finding]] = {
    **dict.fromkeys(("LOT_AMOUNT", "LOT_HELD", "LOT_FLOOR", "LOT_MISSING", "HOLD_DIFFERS", "OWED_DIFFERS"), _LOT),
    "LOT_NEGATIVE": Finding(
        "an account stood below its floor: more was spent than was there", f"stop postings; see who spent it (actions of that account); {_TAMPERED}"
    ),
    **dict.fromkeys(
        ("LOT_LATEST", "LOT_OPENED", "LOT_CLOSED", "LOT_SLOT", "TAGS_DIFFER", "TAGSET_DIFFERS", "ACCOUNT_DIFFERS"),
        Finding("an account, a flavor or a lot is not as it was told: postings may be decided by the wrong thing", f"stop postings; {_PROJECTION}"),
    ),
    **dict.fromkeys(("FLAVOR_NOT_ZERO", "TXN_WITHOUT_MOVES", "MOVE_WITHOUT_TXN", "MOVE_SEQUENCE", "MOVE_TIME", "REVERSAL_DIFFERS"), _JOURNAL),
    "SUM_DIFFERS": _FOLLOWS._replace(do="drop the sum and declare it again; until then ask for it without the sum (sum_tokens)"),
    "STRETCH_DIFFERS": _FOLLOWS._replace(do=f"late postings to this lot may be allowed or refused wrongly: stop those; {_PROJECTION}"),
    "TERM_DIFFERS": _FOLLOWS._replace(do=f"tag the account or flavor again with the same tags, or queries miss it; for a tag set: {_PROJECTION}"),
    "REFUSAL_DIFFERS": Finding("a request was refused for good that should not have been", "compare with its sender's own record"),
    "FEED_DIFFERS": Finding(
        "a feed stands where nothing is: its consumer gets nothing, or not all", "drop the feed, open it from the beginning, and let him skip"
    ),
    "TEMPLATE_DIFFERS": Finding("a template is not what was saved: what is posted by it may be something else", f"stop running it; {_TAMPERED}"),
    "KEY_TWICE": Finding("one holder counts as two towards a quorum", "revoke one of the two keys; " + _TAMPERED),
    "KEY_DIFFERS": Finding("the register of keys is not what was told: who may sign is in doubt", "stop signed postings; " + _TAMPERED),
    **dict.fromkeys(("SIGNATURE_COVERS_OTHERS", "SIGNATURE_INVALID", "KEY_NOT_VALID"), _SIGNED),
    "QUORUM_NOT_MET": Finding(
        "tokens moved without the signatures they needed: a signature or what asks for it was changed or taken out, or nobody had signed",
        f"stop postings; ask the holders of the named keys whether they signed; {_TAMPERED}",
    ),
    **dict.fromkeys(("BLOCK_GAP", "BLOCK_DIFFERS", "HASH_MISMATCH", "ENTRY_MISSING", "ENTRY_UNSEALED", "ENTRY_TWICE", "ENTRY_MOVED"), _CHAIN),
    "WITNESS_DIFFERS": Finding(
        "the whole chain was written anew, or this is not the database it was noted from", f"compare the database first; then {_TAMPERED}"
    ),
}
