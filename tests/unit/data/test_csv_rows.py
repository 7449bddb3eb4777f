"""The fast reading of plain blocks gives what the row by row reading gives."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data import csv_rows, reading
from genrec.data.shards import Shard

FIELDS = st.one_of(
    st.sampled_from([b"", b" ", b"a", b"12", b"null", b"NaN", b"caf\xc3\xa9", b"caf\xe9", b"x\0y"]),
    st.sampled_from([b'"quoted"', b'"two\nlines"', b'"a,b"', b'say ""hi""', b'"open', b"c\rd"]),
)
LINES = st.lists(FIELDS, min_size=0, max_size=4).map(b",".join)
PLAIN_LINES = st.lists(FIELDS.filter(lambda f: not any(m in f for m in b'"\r')), min_size=1, max_size=4).map(b",".join)


def _everything(path: Path, batch_rows: int = 3) -> tuple[list, list, int]:
    rows, bad, num_lines = [], [], 0
    for batch in csv_rows.batches(Shard(0, "interactions", path, path.name), csv_rows.Dialect(), batch_rows):
        rows += list(zip(batch.lines, *batch.columns, strict=True))
        bad += batch.bad
        num_lines = batch.num_lines
    return rows, bad, num_lines


@settings(max_examples=150, deadline=None)
@given(
    lines=st.one_of(st.lists(PLAIN_LINES, max_size=25), st.lists(LINES, max_size=25)),
    end=st.sampled_from([b"\n", b"\r\n"]),
    newline_at_end=st.booleans(),
    block_bytes=st.integers(8, 200),
)
def test_plain_blocks_read_fast_are_read_alike(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], end: bytes, newline_at_end: bool, block_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(end.join([b"x,y,z", *lines]) + (end if newline_at_end else b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", block_bytes)
        fast = _everything(path)
        patch.setattr(csv_rows, "_plain", lambda lines, delimiter: None)
        slow = _everything(path)
    strip = lambda bad: [row._replace(record=row.record.rstrip("\r")) for row in bad]  # noqa: E731
    assert (fast[0], strip(fast[1]), fast[2]) == (slow[0], strip(slow[1]), slow[2])


@pytest.mark.parametrize("mark_on", ["a line of its own", "a row"])
def test_a_byte_order_mark_within_a_file_is_not_read_as_the_beginning_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark_on: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x,y\n1,2\n\xef\xbb\xbf" + (b"3,4" if mark_on == "a row" else b""))
    rows, bad, _ = _everything(path)
    monkeypatch.setattr(csv_rows, "_plain", lambda lines, delimiter: None)
    assert (rows, bad) == _everything(path)[:2]
    assert rows[0] == (2, "1", "2")
    assert len(rows) + len(bad) == 2


def test_bad_rows_of_a_plain_block_have_line_reason_detail_and_record(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("x,y\n1,2\nonly\n3,é\na,b,c\n".encode())
    assert csv_rows._plain(path.read_bytes().split(b"\n")[1:-1], ",") is not None
    rows, bad, num_lines = _everything(path)
    assert rows == [(2, "1", "2"), (4, "3", "é")]
    assert [tuple(row) for row in bad] == [
        (3, "bad_csv", "1 fields where the header has 2", "only"),
        (5, "bad_csv", "3 fields where the header has 2", "a,b,c"),
    ]
    assert num_lines == 5


def test_a_quoted_field_may_reach_into_the_next_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", 16)
    path = tmp_path / "a.csv"
    path.write_text('x,y\n1,"begins here\ngoes on and on\nand ends",\n2,"so\ndoes this"\n3,4\n')
    rows, bad, _ = _everything(path)
    assert rows == [(5, "2", "so\ndoes this"), (7, "3", "4")]
    assert [(row.line, row.detail) for row in bad] == [(line, "3 fields where the header has 2") for line in (2, 3, 4)]
