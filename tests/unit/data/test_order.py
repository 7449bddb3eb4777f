"""Rows sorted by one number a row are those sorted by their two columns; equal keys keep their order."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.order import in_order

_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "a", "aa", "b", "B", "ü", "\U0001f600", "z" * 20]),
        st.sampled_from([0, 1, -1, 2**40]) | st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=30,
)


def _frame(rows: list[tuple[str, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"text": pl.String, "number": pl.Int64}, orient="row").with_row_index("place")


@settings(max_examples=200, deadline=None)
@given(rows=_ROWS)
def test_the_order_is_that_of_a_stable_sort(rows: list[tuple[str, int]]) -> None:
    frame = _frame(rows)
    for by in (["text", "number"], ["text"], ["number"], ["text", "number", "place"]):
        assert in_order(frame, by).equals(frame.sort(by, maintain_order=True))


def test_texts_that_share_a_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = _frame([("b", 1), ("a", 2), ("b", 0), ("c", 3), ("a", 2)])
    monkeypatch.setattr(pl.Series, "hash", lambda column: pl.Series([7] * len(column), dtype=pl.UInt64))
    for by in (["text", "number"], ["text"]):
        assert in_order(frame, by).equals(frame.sort(by, maintain_order=True))
