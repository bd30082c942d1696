"""Arrays in PostgreSQL's own form: the server reads them as the same values it reads from texts."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from bourse.aws.packed import Packed, bigints, byteas, ints, texts
from bourse.aws.postgres import Database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BIG, WORD = 2**63, 2**31
COLUMNS = st.one_of(
    st.lists(st.integers(-BIG, BIG - 1) | st.sampled_from([-BIG, BIG - 1, 0, -1]), max_size=40).map(lambda column: ("bigint[]", bigints, column)),
    st.lists(st.integers(-WORD, WORD - 1) | st.sampled_from([-WORD, WORD - 1, 0, -1]), max_size=40).map(lambda column: ("int[]", ints, column)),
    st.lists(
        st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])) | st.sampled_from(["", "NULL", '"{,}', "é" * 130, "x" * 255, "x" * 256])
    ).map(lambda column: ("text[]", texts, column)),
    st.lists(st.binary() | st.sampled_from([b"", b"\0" * 300])).map(lambda column: ("bytea[]", byteas, column)),
)


@given(COLUMNS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_server_reads_what_was_packed(database: Database, given_column: tuple[str, Callable[[Sequence[Any]], Packed], list[Any]]) -> None:
    kind, pack, column = given_column
    with database.transaction("t1") as cursor:
        row = cursor.execute(f"select %s::{kind}", [pack(column)]).fetchone()
    assert row is not None
    assert list(row[0]) == column


def test_a_call_takes_packed_arguments_beside_texts(database: Database) -> None:
    found = database.call("books.find_lots", ["t1", bigints([7, 0]), bigints([1, 2]), "{1,1}", bigints([5, 6]), None])
    assert found == "{7,NULL}"


@pytest.mark.parametrize(("pack", "number"), [(bigints, BIG), (bigints, -BIG - 1), (ints, WORD), (ints, -WORD - 1)])
def test_a_number_too_large_is_an_error_and_not_another_number(pack: Callable[[Sequence[int]], Packed], number: int) -> None:
    with pytest.raises(OverflowError):
        pack([1, number])


@pytest.mark.parametrize("one", [1.0, None, "1"])
def test_what_is_no_number_is_not_packed(one: Any) -> None:
    with pytest.raises(TypeError):
        bigints([one])
