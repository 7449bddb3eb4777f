"""Lines of plain, gzip and zstd files, in blocks, in bounded memory; a file that was cut off is read up to the cut."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from genrec.data.compressed import INPUT_BYTES, Inflated, is_compressed
from genrec.data.encodings import BOM, UTF8, as_utf8, check_start
from genrec.data.quarantine import clip
from genrec.data.shards import BadRow
from genrec.data.typed_lines import Text, of_any_size
from genrec.errors import DamagedFile

BLOCK_BYTES = 1 << 20
GROUP_LINES = 64
MAX_LINE_BYTES = 64 << 20
_NEWLINE = b"\n"[0]


class Cut(NamedTuple):
    """Where a compressed file breaks off: the line it happened in, why, and what was left of that line."""

    line: int
    detail: str
    tail: bytes


class LineReader:
    """Iterate over `(first_line, lines)` blocks of a file, or over its `texts`; lines carry no newline.

    With `start` and `end` (bytes, plain files only), the lines whose first byte lies in that range. After the
    iteration, `num_lines` is the number of lines passed, `cut` tells where a compressed file broke off, and `changes`
    counts it where other bytes stood behind its end. Lines are UTF-8, whatever the file's `encoding`. Raises DamagedFile where the first bytes are no text of that encoding.
    """

    def __init__(self, path: Path, name: str, start: int = 0, end: int | None = None, encoding: str = UTF8[0]) -> None:
        self.path, self.name, self.start, self.end, self.encoding = path, name, start, end, encoding
        self.num_lines = 0
        self.cut: Cut | None = None
        self.changes: Counter[str] = Counter()
        self._damage = ""
        self._passed = self._read = 0  # bytes of the file, compressed or not: before the current block, and with it
        self._total = 1

    def share(self, of_block: float = 1.0) -> float:
        """How much of the range was passed, 0..1, when the share `of_block` of the current block was processed."""
        return min(1.0, (self._passed + of_block * (self._read - self._passed)) / self._total)

    def __iter__(self) -> Iterator[tuple[int, list[bytes]]]:
        for text in self.texts():
            yield text.first_line, text.lines()

    def texts(self) -> Iterator[Text]:
        """The blocks with their lines as one text."""
        tail = b""
        first = self.start == 0
        for block in self._blocks():
            if first and block:
                block, first = block.removeprefix(BOM), False
            joined = tail + block if tail else block
            end = joined.rfind(b"\n")
            tail = joined[end + 1 :]
            text = self._text(joined[:end]) if end >= 0 else None
            if len(tail) > MAX_LINE_BYTES:
                line = self.num_lines + (text.num_lines if text else 0) + 1
                raise DamagedFile(
                    f"{self.name}: line {line} is longer than {MAX_LINE_BYTES >> 20} MB; one record a line is expected"
                )
            if text:
                yield self._count(text)
        if not self._damage:
            if tail:
                yield self._count(self._text(tail))
        elif _is_whole_object(tail):
            yield self._count(self._text(tail))
            self.cut = Cut(self.num_lines + 1, self._damage, b"")
        else:
            self.num_lines += 1
            self.cut = Cut(self.num_lines, self._damage, tail)

    def _text(self, lines: bytes) -> Text:
        return Text(self.num_lines + 1, lines, np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == _NEWLINE))

    def _count(self, text: Text) -> Text:
        self.num_lines += text.num_lines
        return text

    def _blocks(self) -> Iterator[bytes]:
        """The text of the file in UTF-8."""
        blocks = self._bytes()
        if self.start == 0:
            begin = next(blocks, b"")
            check_start(self.name, begin, self.encoding)
            blocks = chain([begin], blocks)
        return blocks if self.encoding in UTF8 else as_utf8(blocks, self.encoding, self.name)

    def _bytes(self) -> Iterator[bytes]:
        if is_compressed(self.path):
            yield from self._inflate()
            return
        with self.path.open("rb") as file:
            size = self.path.stat().st_size
            begin = _line_start(file, self.start, size)
            left = self._total = _line_start(file, size if self.end is None else self.end, size) - begin
            file.seek(begin)
            while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
                left -= len(block)
                self._passed, self._read = self._read, self._total - left
                yield block

    def _inflate(self) -> Iterator[bytes]:
        """The decompressed bytes up to the end or the damage (which is noted)."""
        self._total = self.path.stat().st_size
        inflated, pieces, size = Inflated(self.path, self.name, INPUT_BYTES), list[bytes](), 0
        for piece in inflated:
            pieces.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES:
                self._passed, self._read = self._read, inflated.position
                yield b"".join(pieces)
                pieces, size = [], 0
        self._damage = inflated.damage
        if inflated.trailing:
            self.changes["trailing_bytes"] += 1
        self._passed, self._read = self._read, self._total
        yield b"".join(pieces)


def _line_start(file: Any, offset: int, size: int) -> int:
    """The first byte at or after `offset` that starts a line."""
    if offset <= 0 or offset >= size:
        return max(0, min(offset, size))
    file.seek(offset - 1)
    file.readline()
    return file.tell()


def _is_whole_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def check_json_lines(path: Path, name: str) -> None:
    """Raises DamagedFile, with a fix, where a file does not begin like JSON lines: an array, Python dicts, indented JSON."""
    lines = (line for _, block in LineReader(path, name) for line in block)
    start = next((line for line in lines if line.strip()), b"")
    problem, reason = _why_no_object(start)
    if problem:
        raise DamagedFile(f"{name}: begins with {shown(start[:40])!r}, {problem}; {reason}")


def _why_no_object(start: bytes) -> tuple[str, str]:
    start = start.strip()
    if re.match(rb"\{\s*u?'", start):
        return "a Python dict, no JSON", "write each row with json.dumps, one a line"
    if start == b"{":
        return "a JSON document over several lines", "write one object a line (jq -c . does)"
    if start.startswith(b"["):
        try:
            whole = orjson.loads(start)
        except orjson.JSONDecodeError:
            whole = [{}]
        if any(isinstance(row, dict) for row in whole):
            return "a JSON array", "write one object a line (jq -c '.[]' does)"
    return "", ""


def shown(line: bytes) -> str:
    """A raw line as text, bytes that are not UTF-8 written as escapes."""
    return clip(line[:4000].decode("utf-8", errors="backslashreplace"))


def cut_row(cut: Cut) -> BadRow:
    """The quarantine row of a file that broke off."""
    return BadRow(cut.line, "truncated_file", cut.detail, shown(cut.tail))


def parse_json_lines(first_line: int, lines: list[bytes]) -> tuple[list[int], list[dict], list[BadRow]]:
    """The JSON objects of a block: their places in `lines`, the objects, and the lines that hold none.

    Empty lines are no rows. Lines are parsed in groups; only in a group where that fails is each line looked at.
    """
    places: list[int] = []
    records: list[dict] = []
    bad: list[BadRow] = []
    for start in range(0, len(lines), GROUP_LINES):
        group = lines[start : start + GROUP_LINES]
        try:
            parsed = [orjson.loads(line) for line in group]
            whole = set(map(type, parsed)) <= {dict}
        except orjson.JSONDecodeError:
            whole = False
        if whole:
            places.extend(range(start, start + len(group)))
            records.extend(parsed)
            continue
        group_places, group_records, group_bad = _parse_each_line(first_line + start, group)
        places.extend(start + place for place in group_places)
        records.extend(group_records)
        bad.extend(group_bad)
    return places, records, bad


def _parse_each_line(first_line: int, lines: list[bytes]) -> tuple[list[int], list[dict], list[BadRow]]:
    places: list[int] = []
    records: list[dict] = []
    bad: list[BadRow] = []
    for place, line in enumerate(lines):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            record = of_any_size(line)
            if record is None:
                if line.strip():
                    reason, detail = _why_not_json(line, error)
                    bad.append(BadRow(first_line + place, reason, detail, shown(line)))
                continue
        if isinstance(record, dict):
            places.append(place)
            records.append(record)
        else:
            detail = f"a JSON object is expected, this is a {type(record).__name__}"
            bad.append(BadRow(first_line + place, "wrong_type", detail, shown(line)))
    return places, records, bad


def _why_not_json(line: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as unicode_error:
        byte = line[unicode_error.start]
        return "bad_utf8", f"byte 0x{byte:02x} at column {unicode_error.start + 1}"
    if re.match(rb"\s*\{\s*u?'", line):
        return "bad_json", "a Python dict with single quotes, no JSON; write each row with json.dumps"
    if re.search(rb"\b(?:NaN|Infinity)\b", line) and _without_nan(line):
        return "bad_json", "NaN and Infinity are no JSON; write null for a missing value"
    return "bad_json", clip(str(error), 200)


def _without_nan(line: bytes) -> bool:
    """Whether NaN and Infinity are all that keeps a line from being JSON."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
