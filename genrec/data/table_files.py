"""The files of a folder of tables: which are read, and which are left out and why."""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from genrec.data import places
from genrec.data.amazon import listing
from genrec.data.shards import Kind, SourceFile
from genrec.errors import DataError

KINDS: tuple[Kind, ...] = ("interactions", "items")
ENDINGS = (".parquet", ".csv", ".csv.gz", ".csv.zst")
_PART = re.compile(r"(?:-|[_.]\d).*")  # what follows the kind in the name of a part
_PARTITION = re.compile(r"([^=/]+)=([^/]*)")
_NO_TABLE = f"its name ends in none of {', '.join(ENDINGS)}"
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def find_files(path: Path | None, named: Sequence[str]) -> list[SourceFile]:
    """The interactions and items files: one of each, and any number of parts that came later.

    named: a file for each kind, or "". A file that is named stands alone. Raises DataError that lists what is there when
    a kind has none.
    """
    matched: list[str] | None = None
    if path is not None and places.is_pattern(path):
        path, matched = places.matching(path)
    if path is None or not path.is_dir():
        where = "is not set" if path is None else f"is {path}, which is not a folder"
        raise DataError(
            f"data.path {where}; set it to the folder with interactions.parquet and items.parquet (or .csv)"
        )
    files = []
    for kind, name in zip(KINDS, named, strict=True):
        if name:
            present = [name] if (path / name).is_file() else []
        else:
            present = _of_kind(path, kind) if matched is None else [n for n in matched if _kind(n) == kind]
        if not present:
            wanted = name or " or ".join(kind + ending for ending in ENDINGS)
            raise DataError(
                f"data.path: no {wanted} in {path}; it holds {listing(path)}. Name the file in data.options.{kind}"
            )
        if not _is_table(present[0]):
            raise DataError(f"data.options.{kind}: {present[0]} is neither of {', '.join(ENDINGS)}")
        files += [SourceFile(kind, path / name, name) for name in present]
    return files


def left_out(path: Path | None, named: Sequence[str]) -> dict[str, str]:
    """Files and folders of `path` that are not read, and why; names that begin with a dot or a `_` are not meant as data."""
    if path is None or not path.is_dir():
        return {}
    reasons: dict[str, str] = {}
    for entry in sorted(path.iterdir()):
        kind = next((kind for kind in KINDS if entry.name.lower().startswith(kind)), None)
        if entry.is_dir() and entry.name.lower() in KINDS:
            reasons |= _left_out_below(path, entry.name.lower(), named)
        elif not _is_hidden(entry.name) and (entry.is_file() or kind) and (why := _why_left_out(path, entry, named)):
            reasons[entry.name] = why
    return reasons


def partition_values(name: str) -> dict[str, str | None]:
    """The columns that stand in the folders of a file's name: `interactions/day=5/0.parquet` has day = 5.

    Names and values are percent-encoded, as Hive, Spark and Arrow write them (`brand=Ben%20%26%20Jerry`).
    """
    found = [_PARTITION.fullmatch(folder) for folder in name.split("/")[:-1]]
    return {unquote(m.group(1)): None if m.group(2) == _NO_VALUE else unquote(m.group(2)) for m in found if m}


def _of_kind(path: Path, kind: str) -> list[str]:
    """Names below `path`: the file of a kind (of several formats the first) and its parts, by name."""
    entries = sorted(path.iterdir())
    tables = [entry.name for entry in entries if entry.is_file() and _is_table(entry.name)]
    first = [name for ending in ENDINGS for name in tables if name.lower() == kind + ending][:1]
    parts = [name for name in tables if name.lower().startswith(kind) and _PART.fullmatch(_stem(name)[len(kind) :])]
    return first + sorted(parts + _below(path, kind))


def _kind(name: str) -> str | None:
    """The kind of a file that a pattern matches: a folder of that name, or the beginning of the file's own name."""
    *folders, file = name.lower().split("/")
    if not _is_table(file):
        return None
    for kind in KINDS:
        rest = _stem(file)[len(kind) :]
        if kind in folders or (file.startswith(kind) and (not rest or _PART.fullmatch(rest))):
            return kind
    return None


def _below(path: Path, kind: str) -> list[str]:
    """The tables in the folder of a kind, at any depth."""
    return [name for name in _names_below(path, kind) if _is_table(name)]


def _names_below(path: Path, kind: str) -> list[str]:
    folders = [entry for entry in path.iterdir() if entry.is_dir() and entry.name.lower() == kind]
    found = [p.relative_to(path) for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()]
    return [name.as_posix() for name in found if not any(map(_is_hidden, name.parts))]


def _left_out_below(path: Path, kind: str, named: Sequence[str]) -> dict[str, str]:
    if name := named[KINDS.index(kind)]:  # type: ignore[arg-type]
        names = [below for below in _names_below(path, kind) if below != name]
        return {f"{kind}/": f"data.options.{kind} names another file"} if names else {}
    return {name: _NO_TABLE for name in _names_below(path, kind) if not _is_table(name)}


def _why_left_out(path: Path, entry: Path, named: Sequence[str]) -> str:
    """ "" for a file that is read."""
    kind = next((kind for kind in KINDS if entry.name.lower().startswith(kind)), None)
    if entry.name in named:
        return ""
    if kind is None:
        return f"its name begins with neither of {', '.join(KINDS)}"
    if named[KINDS.index(kind)]:
        return f"data.options.{kind} names another file"
    if entry.is_dir():
        return f"a folder of parts is called {kind}/; move its files there"
    if entry.name in _of_kind(path, kind):
        return ""
    if not _is_table(entry.name):
        return _NO_TABLE
    if _stem(entry.name).lower() == kind:
        return f"{_of_kind(path, kind)[0]} stands beside it; call it {kind}-2{entry.name[len(kind) :]} if both count"
    return f"parts are called {kind}-... or lie in {kind}/"


def _is_table(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _stem(name: str) -> str:
    return name[: -len(next(e for e in sorted(ENDINGS, key=len, reverse=True) if name.lower().endswith(e)))]


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))
