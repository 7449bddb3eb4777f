"""What stands for outside inputs in a key: the content of local files, the pinned name of a hub model."""

import hashlib
import os
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError

_MEANT = {  # files that settings name
    "embed.options.path": "a Parquet file with item_id and vector",
    "recommend.users": "a Parquet, CSV or text file with a user_id a row",
    "recommend.in_stock": "a Parquet, CSV or text file with an item_id a row",
}


def of_file(setting: str, name: str) -> str:
    """The digest of a file's content, wherever it lies. Raises GenrecError when there is no such file."""
    check_file(setting, name)
    with open(name, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def of_model(name: str, revision: str | None) -> dict[str, Any]:
    """A model folder by the digests of its files, wherever it lies; a hub id by name and revision.

    Raises GenrecError for something that looks like a path and is not a folder.
    """
    check_model("model", name)
    path = Path(name)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in (".json", ".safetensors", ".txt", ".model"))
        digests = {}
        for file in files:
            with open(file, "rb") as handle:
                digests[file.relative_to(path).as_posix()] = hashlib.file_digest(handle, "sha256").hexdigest()
        return {"files": digests}
    return {"hub": name, "revision": revision}


def check_file(setting: str, name: str) -> None:
    """Raises GenrecError where a setting names a file that cannot be read."""
    if not Path(name).is_file():
        raise GenrecError(f"{setting}: {name!r}: no such file; give the path of {_MEANT[setting]}")
    if not os.access(name, os.R_OK):
        raise GenrecError(f"{setting}: {name!r} cannot be read; check its permissions")


def check_model(setting: str, name: str) -> None:
    """Raises GenrecError where a setting looks like the path of a model folder and there is none that can be read."""
    path = Path(name)
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise GenrecError(f"{setting}: {name} cannot be read; check its permissions")
        if not (path / "config.json").is_file():
            raise GenrecError(
                f"{setting}: {name} holds no config.json; give the folder of a model, or a hub id like owner/name"
            )
    elif path.is_absolute() or name.startswith("."):
        raise GenrecError(
            f"{setting}: {name}: no such model folder; give a folder with config.json or a hub id like owner/name"
        )
