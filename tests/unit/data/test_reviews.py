"""Reviews decoded a text at a time are those decoded line by line: rows, bad rows, counts."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genrec.data import reading, reviews
from genrec.data.shards import BadRow
from genrec.data.sources import amazon2018, amazon2023
from tests.support.data_samples import T0_MS

_IDS = st.sampled_from(["u", "i", " u ", "7.0", "nan", "", "4.0E+12", "0593", "é", None, 5, True, ["x"], {"a": "b"}])
_NUMBERS = st.sampled_from([T0_MS, 5, 4.5, -1, 1e300, 2**70, 1.5 * T0_MS, True, "5", None, [1]])
_FIELDS = {
    "user_id": _IDS,
    "parent_asin": _IDS,
    "asin": _IDS,
    "timestamp": st.just(T0_MS) | _NUMBERS,
    "rating": _NUMBERS,
    "verified_purchase": st.sampled_from([True, False, None, 1, "yes"]),
    "event": st.sampled_from([None, "click", " Buy", "nan", "", 3]),
    "text": st.sampled_from(["plain", 'a "quoted" {text}', "\U0001f600", "\n", 1e3, [{"user_id": "x"}], {"asin": 1}]),
}
_GOOD = {"user_id": "u", "parent_asin": "i", "timestamp": T0_MS, "rating": 5.0, "verified_purchase": True, "text": "t"}
_ODD = (
    b"", b"  ", b"{", b"}", b"null", b"[1]", b"{}", b"{} {}", b'{"a": 1}{"a": 2}', b'{"user_id": "u"', b'"parent_asin": "i"}',
    b'{"user_id": "a", "user_id": "b", "parent_asin": "i"}', b'{"user_id": 5, "user_id": "b"}', b'{"text": "\xff"}',
    b'{"text": "\xed\xa0\x80"}', b'{"text": "\\ud800"}', b'{"text": 1e400}', b'{"rating": 1e400}', b'{"timestamp": NaN}',
    b'{"text": "\x01"}', b'{"text": 01}', b"{'user_id': 1}", b'{"\\u0075ser_id": "escaped", "asin": "i"}', b'{"user_id": "u"} ',
    b' {"user_id": "u"}', b'{"user_id": "u"}\r', b'{"text": ' + b"[" * 300 + b"]" * 300 + b"}", b'{"text": {}', b'{}}', b'{"a":',
)  # fmt: skip
_LINE = (
    st.sampled_from(_ODD)
    | st.just(json.dumps(_GOOD).encode())
    | st.fixed_dictionaries({}, optional=_FIELDS).map(lambda row: json.dumps(row).encode())
    | st.fixed_dictionaries({}, optional=_FIELDS).map(lambda row: json.dumps(row, ensure_ascii=False).encode())
)


def _read(path: Path, layout: reviews.Layout) -> tuple[pl.DataFrame, list[BadRow], dict[str, int], int]:
    lines_of = reading.LineReader(path, path.name)
    batches = list(reviews.batches(layout, lines_of))
    changes: dict[str, int] = {}
    for batch in batches:
        for name, number in batch.changes.items():
            changes[name] = changes.get(name, 0) + number
    rows = pl.concat([batch.rows for batch in batches])
    return rows, sorted(row for batch in batches for row in batch.bad), changes, lines_of.num_lines


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(_LINE, min_size=1, max_size=8), block_bytes=st.sampled_from([10, 200, 1 << 20]))
@example(lines=[b'{"a": {}', b"{}}", b"{}{}"], block_bytes=1 << 20)
@example(lines=[b'{"user_id": "u"', b'"asin": "i"}', b'{"user_id": "u", "asin": "i"} {}'], block_bytes=1 << 20)
def test_texts_decoded_at_once_give_what_their_lines_give(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], block_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("reviews") / "a.jsonl"
    path.write_bytes(b'{"text": "first"}\n' + b"\n".join(lines))
    for layout in (amazon2023.LAYOUT, amazon2018.LAYOUT):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "BLOCK_BYTES", block_bytes)
            patch.setattr(reviews, "BATCH_BYTES", 3 * block_bytes)
            at_once = _read(path, layout)
            patch.setattr(reviews, "rows_of", lambda text, decoder: None)
            by_line = _read(path, layout)
        assert at_once[0].equals(by_line[0])
        assert at_once[1:] == by_line[1:]


def test_good_lines_are_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(json.dumps({**_GOOD, "user_id": f"u{n}"}).encode() for n in range(50)))
    monkeypatch.setattr(reading, "parse_json_lines", None)
    assert _read(path, amazon2023.LAYOUT)[0]["user_id"].to_list() == [f"u{n}" for n in range(50)]


def test_a_number_beyond_a_double_costs_a_row_only_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"\n".join(json.dumps({**_GOOD, name: 7}).replace("7", "1e400").encode() for name in ("text", "rating"))
    )
    rows, bad, _, _ = _read(path, amazon2023.LAYOUT)
    assert rows["line"].to_list() == [1]
    assert [(row.line, row.reason, row.detail) for row in bad] == [(2, "bad_rating", "rating is inf")]
