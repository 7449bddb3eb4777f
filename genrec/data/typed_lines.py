"""Some fields of JSON lines, decoded a block at a time without an object for the fields that are not read.

msgspec checks the syntax of what it passes over, not its UTF-8 nor the size of its numbers. A block of which anything else
is unusual gives no rows: its lines are to be parsed one by one (`reading.parse_json_lines`), which tells each bad one.
"""

import math
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

_OPEN, _CLOSE = b"{"[0], b"}"[0]
_REFUSALS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
Row = TypeVar("Row")
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Text(NamedTuple):
    """Consecutive lines of a file."""

    first_line: int
    data: bytes  # without the newline of the last line
    breaks: NDArray[np.int64]  # where the other newlines are

    @property
    def num_lines(self) -> int:
        return len(self.breaks) + 1

    def lines(self) -> list[bytes]:
        """The lines one by one, without their newlines."""
        return self.data.split(b"\n")

    def line(self, place: int) -> bytes:
        """One line, counted from 0."""
        start = self.breaks[place - 1] + 1 if place else 0
        return self.data[start : self.breaks[place] if place < len(self.breaks) else None]


def rows_of(text: Text, decoder: "msgspec.json.Decoder[Row]") -> list[Row] | None:
    """A row for each line; None where not every line is one object with values of the types of the decoder."""
    if not _objects_between_breaks(text):
        return None
    try:
        if not text.data.isascii():
            text.data.decode()
        rows = decoder.decode_lines(text.data)
    except _REFUSALS:
        return None
    return rows if len(rows) == text.num_lines else None


def _objects_between_breaks(text: Text) -> bool:
    """Whether every newline stands between a closing and an opening brace.

    JSON has no such place within an object, so that as many objects as lines are then one object a line.
    """
    data = np.frombuffer(text.data, dtype=np.uint8)
    if not len(data) or data[0] != _OPEN or data[-1] != _CLOSE:
        return False
    return bool((data[text.breaks - 1] == _CLOSE).all() and (data[text.breaks + 1] == _OPEN).all())


def of_any_size(line: bytes) -> dict[str, Any] | None:
    """The object of a line that is JSON but for a number beyond a double (1e400), which is infinite; None where it is none.

    Such a number is no error of its row while nobody reads the field (RFC 8259, section 6, sets no limit).
    """
    try:
        line.decode()
        fields = _RAW.decode(line)
    except _REFUSALS:
        return None
    return {name: _value(bytes(raw)) for name, raw in fields.items()}


def _value(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return math.inf
