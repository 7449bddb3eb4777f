"""What stands for outside inputs in a key: the content of local files, the pinned name of a hub model."""

import hashlib
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError


def of_file(name: str) -> str:
    """The digest of a file's content, wherever it lies. Raises GenrecError when there is no such file."""
    path = Path(name)
    if not path.is_file():
        raise GenrecError(f"{name!r}: no such file; give the path of a Parquet file with item_id and vector")
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def of_model(name: str, revision: str | None) -> dict[str, Any]:
    """A model folder by the digests of its files, wherever it lies; a hub id by name and revision.

    Raises GenrecError for something that looks like a path and is not a folder.
    """
    path = Path(name)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in (".json", ".safetensors", ".txt", ".model"))
        digests = {}
        for file in files:
            with open(file, "rb") as handle:
                digests[file.relative_to(path).as_posix()] = hashlib.file_digest(handle, "sha256").hexdigest()
        return {"files": digests}
    if path.is_absolute() or name.startswith("."):
        raise GenrecError(f"{name}: no such model folder; give a folder with config.json or a hub id like owner/name")
    return {"hub": name, "revision": revision}
