"""What a text file is written in: told by its first bytes, or named in the config and read as UTF-8 from there on."""

import codecs
from collections.abc import Iterator

from genrec.errors import DamagedFile, DataError

# Error handler for decoding: bytes that are not in the encoding pass through a parser as lone surrogates (PEP 383).
KEEP_BYTES = "surrogateescape"
UTF8 = ("utf-8", "utf8", "utf_8")
BOM = b"\xef\xbb\xbf"

_STARTS = (  # the first bytes, what such a file is, what to do
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)", "unpack it, or export the sheet as CSV"),
    (b"PAR1\x15", "a Parquet file", "let its name end in .parquet"),
    (b"\x1f\x8b", "a gzip file", "let its name end in .gz"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "let its name end in .zst"),
    (b"BZh91AY&SY", "a bzip2 file", "decompress it"),
    (b"\xfd7zXZ\x00", "an xz file", "decompress it"),
    (b"SQLite format 3\x00", "an SQLite database", "export its tables as CSV"),
    (b"%PDF-", "a PDF document", "give the table itself"),
)
_LOOKED_AT = 200


def check_encoding(name: str) -> None:
    """Raises DataError for the name of an encoding of text that Python does not have."""
    try:
        "".encode(codecs.lookup(name).name)
    except LookupError:
        raise DataError(
            f"data.options.encoding: there is no encoding {name!r}; write one such as utf-8, utf-16 or cp1252"
        ) from None


def check_start(name: str, start: bytes, encoding: str) -> None:
    """Raises DamagedFile, with a fix, for a file whose first bytes are no text, or are text in another encoding."""
    for magic, what, fix in _STARTS:
        if start.startswith(magic):
            raise DamagedFile(f"{name}: begins like {what}; {fix}")
    if encoding not in UTF8:
        return
    found = ""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found = "utf-16"
    elif len(start) > 8:  # every other byte of Latin text in UTF-16 is 0
        even, odd = start[0:_LOOKED_AT:2], start[1:_LOOKED_AT:2]
        if 2 * max(even.count(0), odd.count(0)) > len(even) and min(even.count(0), odd.count(0)) == 0:
            found = "utf-16-be" if even.count(0) else "utf-16-le"
    if found:
        raise DamagedFile(
            f"{name}: is written in {found}; convert it to UTF-8, or set data.options.encoding: {found} (CSV)"
        )


def as_utf8(blocks: Iterator[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """The blocks of a file in another encoding as UTF-8; bytes that its table of characters lacks stay as they are."""
    decoder = codecs.getincrementaldecoder(encoding)(KEEP_BYTES)
    try:
        for block in blocks:
            yield decoder.decode(block).encode("utf-8", KEEP_BYTES)
        yield decoder.decode(b"", final=True).encode("utf-8", KEEP_BYTES)
    except UnicodeError as error:
        raise DataError(f"{name}: is not written in {encoding} ({error}); set data.options.encoding") from None
