"""The lines of a CSV file one by one for the csv module, with a way back: a quote that is never closed loses no line."""

from collections import deque
from collections.abc import Iterator

from genrec.data import reading
from genrec.data.encodings import KEEP_BYTES


class TooManyLines(Exception):
    """A quoted field goes on for more lines than a field may have."""


class CsvLines:
    """An iterator over decoded lines, and what the parser consumed for its current row.

    Raises TooManyLines instead of one line more than `max_lines` for a row.
    """

    def __init__(self, reader: reading.LineReader, max_lines: int) -> None:
        self.reader, self.max_lines = reader, max_lines
        self.consumed: list[str] = []
        self.line = 0
        self._again: deque[str] = deque()  # lines given back
        self._blocks = iter(reader)
        self._block: list[bytes] = []
        self._place = 0  # of the next line in the block

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.consumed) >= self.max_lines:
            raise TooManyLines
        if self._again:
            text = self._again.popleft()
            self.line += 1
        elif self.has_more():
            text = self._block[self._place].decode("utf-8", KEEP_BYTES) + "\n"
            self.skip(1)
        else:
            raise StopIteration
        self.consumed.append(text)
        return text

    def give_back(self) -> None:
        """Put back all lines of the current row but its first: they are read again, as rows of their own."""
        self._again.extendleft(reversed(self.consumed[1:]))
        self.line -= len(self.consumed) - 1
        del self.consumed[1:]

    def has_more(self) -> bool:
        """Whether there is a line left; reads the next block when the current one is used up."""
        while not self._again and self._place == len(self._block):
            block = next(self._blocks, None)
            if block is None:
                return False
            self._block, self._place = block[1], 0
        return True

    def remaining(self) -> list[bytes]:
        """The unread lines of the current block; none while lines that were given back come first."""
        return [] if self._again else self._block[self._place :]

    def within_block(self) -> bool:
        return bool(self._again) or self._place < len(self._block)

    def skip(self, number: int) -> None:
        self._place += number
        self.line += number

    @property
    def share(self) -> float:
        """How much of the file was passed, 0..1."""
        return self.reader.share(self._place / max(1, len(self._block)))
