"""Where raw files lie: a folder, a file, a pattern of names (`*`, `?`, `[..]`) or the URL of one of these on any file
system that fsspec knows (s3://, gs://, az://, hf://, memory://, ...).

A local path is a `Path`. A URL is a `UPath`, which has the methods of `Path` that reading needs.
"""

import hashlib
from collections.abc import Callable
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from genrec.errors import DataError, GenrecError
from genrec.redact import redact

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}
_CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "md5")  # of an object, by the names of file systems
_Read = TypeVar("_Read")


def located(text: str) -> Path:
    """The place that a path or URL names. Raises DataError for a URL with credentials, or of an unknown file system."""
    if "://" not in text:
        return Path(text)
    parts = urlsplit(text)
    if parts.scheme == "file":
        return Path(parts.path)
    if parts.username or parts.password:
        raise DataError(
            f"data.path: {parts.scheme}:// with credentials in it; give them in the environment, where they are not logged"
        )
    from upath import UPath

    try:
        return cast(Path, UPath(text))
    except ImportError:
        package = _PACKAGES.get(parts.scheme, "its fsspec package")
        raise DataError(f"data.path: {parts.scheme}:// needs {package}; pip install {package}") from None
    except ValueError as error:
        raise DataError(f"data.path: {text}: {error}; fsspec knows s3://, gs://, az://, hf:// and others") from None


def is_local(path: Path) -> bool:
    return isinstance(path, Path)


_COPY = "copy the files here and set data.path to their folder"


def reaching(path: Path | None, read: Callable[[], _Read], otherwise: str = _COPY) -> _Read:
    """What `read` gives; an error of the network or the rights at a URL becomes a DataError that names it, and says what
    to do otherwise."""
    try:
        return read()
    except GenrecError:
        raise
    except Exception as error:  # every file system has errors of its own
        if path is None or is_local(path):
            raise
        if isinstance(error, ImportError):
            package = _PACKAGES.get(urlsplit(str(path)).scheme, "its fsspec package")
            raise DataError(f"data.path: {path} needs {package}; pip install {package}") from None
        why = redact(f"{type(error).__name__}: {error}")[:200]
        raise DataError(
            f"data.path: {path} cannot be reached ({why}); check the address, the network and the credentials in the "
            f"environment; or {otherwise}"
        ) from error


def look_again(path: Path | None) -> None:
    """Forget what a file system of objects remembers of its listings: others write there, too."""
    if path is not None and not is_local(path):
        cast(Any, path).fs.invalidate_cache()


def is_pattern(path: Path) -> bool:
    """Whether a path has wildcards and is not itself a file or folder of that name."""
    return has_magic(str(path)) and not path.exists()


def matching(path: Path) -> tuple[Path, list[str]]:
    """The longest folder without wildcards of a pattern, and the files below it that match, by name, sorted.

    Raises DataError where none does.
    """
    root = path
    while has_magic(str(root)):
        if root.parent == root:
            raise DataError(f"data.path: {path} has a wildcard in the name of the bucket; name one bucket")
        root = root.parent
    pattern = PurePosixPath(*path.parts[len(root.parts) :]).as_posix()
    names = sorted(found.relative_to(root).as_posix() for found in root.glob(pattern) if found.is_file())
    if not names:
        there = sorted(entry.name for entry in root.iterdir())[:8] if root.is_dir() else []
        raise DataError(
            f"data.path: no file matches {path}; {root} "
            + (f"holds {', '.join(there)}" if there else "is empty or absent")
        )
    return root, names


def opened(path: Path) -> Any:
    """What a reader of Arrow takes: the path itself where it is local, else an open file."""
    return path if is_local(path) else path.open("rb")


def digest(path: Path) -> str:
    """64 hex digits that change with the content: SHA-256 of a local file; of an object, what its store says of the
    content, so that it need not be read to know whether it is the same. Where the store says nothing, it is read."""
    if not is_local(path):
        info = cast(Any, path).fs.info(cast(Any, path).path)
        lfs = info.get("lfs")  # of the Hugging Face hub: the SHA-256 of the content
        if lfs is not None:
            return str(lfs["sha256"])
        told = next((str(info[name]) for name in _CHECKSUMS if info.get(name)), None)
        if told is not None:
            return hashlib.sha256(f"{told.strip(chr(34))} {info.get('size')}".encode()).hexdigest()
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(4 << 20):
            hashed.update(block)
    return hashed.hexdigest()
