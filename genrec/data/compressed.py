"""gzip and zstd files, decompressed in bounded memory; one that was cut off or damaged is read up to the bad byte.

gzip is decompressed by ISA-L, in a third of zlib's time. Where it meets damage or the end of a cut file, zlib reads that
member again: its words say what the damage is, and it hands out the last bytes before a cut. zlib alone reads a member
whose header has more than one optional field or a checksum: ISA-L loses its place, and says nothing, where such a header is cut by
the end of a piece.
"""

import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import zstandard
from isal import isal_zlib

from genrec.errors import DamagedFile

INPUT_BYTES = 64 << 10
_GZIP_WINDOW = 31  # zlib's code for a 32 kB window with a gzip header
_GZIP_PLAIN = (b"\0", b"\4", b"\x08")  # flags of headers that ISA-L reads wherever they are cut: none, FEXTRA, FNAME
_ZSTD_OUTPUT = 32 << 10  # bytes that a decompressor hands out at once


class Format(NamedTuple):
    """A compression format. Even a decompression bomb gives at most 64 MB for a `step`."""

    name: str
    magics: tuple[bytes, ...]
    step: int  # bytes of compressed data
    padding: bytes  # may stand between members
    header: (
        bytes  # how a member begins where others may follow that are not one, as the format's tool has it; b"": never
    )
    fast: Callable[[], Any]  # a decompressor of one whole member, of those that begin with `fast_flags`
    start: Callable[[], Any]  # one whose output and errors count where a member is not whole
    errors: tuple[type[Exception], ...]  # of both
    fast_flags: tuple[bytes, ...] = (b"",)  # the fourth byte of a member, as far as it has to be looked at


def _zstd() -> Any:
    return zstandard.ZstdDecompressor().decompressobj(write_size=_ZSTD_OUTPUT)


_SKIPPABLE = tuple(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))  # RFC 8878, section 3.1.2
FORMATS = {
    ".gz": Format(
        "gzip",
        (b"\x1f\x8b",),
        64 << 10,
        b"\0",
        b"\x1f\x8b\x08",
        lambda: isal_zlib.decompressobj(_GZIP_WINDOW),
        lambda: zlib.decompressobj(_GZIP_WINDOW),
        (zlib.error, isal_zlib.IsalError),  # type: ignore[arg-type]
        _GZIP_PLAIN,
    ),
    ".zst": Format(
        "zstd",
        (b"\x28\xb5\x2f\xfd", *_SKIPPABLE),
        2 << 10,
        b"",
        b"",
        _zstd,
        _zstd,
        (zstandard.ZstdError,),
    ),
}


def is_compressed(path: Path) -> bool:
    """Whether the name of a file ends in .gz or .zst."""
    return path.suffix.lower() in FORMATS


class Inflated:
    """Iterate over the decompressed pieces of a file; joined members are one stream.

    Afterwards `damage` says what is wrong with the file, or is "". `position` is how many of its bytes were read.
    `trailing`: whether other bytes stand behind the last member, which are left out as gzip -d does.
    Raises DamagedFile where the file does not begin as its name says.
    """

    def __init__(self, path: Path, name: str, input_bytes: int = INPUT_BYTES) -> None:
        self.path, self.name, self.input_bytes = path, name, input_bytes
        self.format = FORMATS[path.suffix.lower()]
        self.damage = ""
        self.trailing = False
        self.position = 0

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            if not file.read(4).startswith(self.format.magics):
                raise DamagedFile(
                    f"{self.name}: not a {self.format.name} file (the name ends in {self.path.suffix}); decompress or "
                    "rename it"
                )
            file.seek(0)
            yield from self._members(file, may_be_fast=True)

    def _members(self, file: IO[bytes], may_be_fast: bool) -> Iterator[bytes]:
        """The pieces of the members from the file's place on, which is where one begins."""
        inflate, is_fast = None, False  # of the member
        begin = member = place = file.tell()  # where the member begins, and how far its bytes were used
        given = 0  # bytes of the member that were handed out
        fresh = True  # at the start of a member: an end here is a regular end
        while left := file.read(self.input_bytes):
            self.position = max(self.position, file.tell())
            while left:
                if fresh and member > begin:
                    left, length = left.lstrip(self.format.padding), len(left)
                    place += length - len(left)
                    member = place
                    if self._is_other(left, file):
                        self.trailing = True
                        return
                step = left[: self.format.step]
                if not step:
                    break
                if inflate is None:
                    is_fast = may_be_fast and left[3:4].startswith(self.format.fast_flags)
                    inflate = (self.format.fast if is_fast else self.format.start)()
                try:
                    piece = inflate.decompress(step)
                except self.format.errors as error:
                    if is_fast:
                        yield from self._again(file, member, given)
                        return
                    self.damage = f"the compressed data is damaged ({error})"
                    yield from self._up_to_the_damage(file, member, place, len(step))
                    return
                fresh = inflate.eof
                used = len(step) - len(inflate.unused_data)
                given += len(piece)
                if fresh:
                    inflate, given = None, 0
                    member = place + used
                left, place = left[used:], place + used
                yield piece
        if not fresh:
            if is_fast:
                yield from self._again(file, member, given)
                return
            self.damage = "the compressed file ends before its end mark"

    def _again(self, file: IO[bytes], member: int, given: int) -> Iterator[bytes]:
        """The pieces of the members from `member` on by the decompressor that counts, without the first `given` bytes."""
        file.seek(member)
        for piece in self._members(file, may_be_fast=False):
            yield piece[given:]
            given = max(0, given - len(piece))

    def _is_other(self, left: bytes, file: IO[bytes]) -> bool:
        """Whether no member begins in the rest of the file: with one, it is a member between them that is damaged."""
        header = self.format.header
        if not header or not left or left.startswith(header[: len(left)]):
            return False
        here, end = file.tell(), b""
        for block in chain([left], iter(lambda: file.read(self.input_bytes), b"")):
            if header in end + block:
                file.seek(here)
                return False
            end = (end + block)[1 - len(header) :]
        self.position = file.tell()
        return True

    def _up_to_the_damage(self, file: IO[bytes], member: int, place: int, length: int) -> Iterator[bytes]:
        """What can be decompressed of the step at `place` before the bad byte: nothing is kept of a call that fails.

        The member is decompressed anew up to there, then a byte at a time.
        """
        inflate = self.format.start()
        file.seek(member)
        while member < place:
            step = file.read(min(self.format.step, place - member))
            inflate.decompress(step)
            member += len(step)
        try:
            for byte in file.read(length):
                yield inflate.decompress(bytes([byte]))
        except self.format.errors:
            return
