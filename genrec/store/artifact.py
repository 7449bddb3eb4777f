"""What an artifact is: its key, its manifest, the check of its bytes, and the calls that make writing it durable."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
FORMAT = 1
KEY = r"[\w-]+-[0-9a-f]{24}"  # a pattern: the names that `make_key` gives


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: small enough to pass between tasks, with no data in it."""

    key: str
    stage: str
    path: Path
    digest: str  # sha256 over the names, sizes and digests of the files
    summary: dict[str, Any]
    seconds: float  # what computing it took


class Disk:
    """The calls that make a commit durable, in one place so that tests can drop, tear or fail them."""

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def fsync(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def mkdir(self, path: Path) -> None:
        """Make a folder and those above it that are missing; they are there after a power loss too."""
        missing = [p for p in (path, *path.parents) if not p.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            self.fsync(made.parent)


def make_key(stage: str, version: int, config_slice: dict[str, Any], inputs: dict[str, str]) -> str:
    """`<stage>-<24 hex digits>` of everything that decides the result (see "Same key" in genrec/store/local.py)."""
    text = json.dumps(
        {"stage": stage, "version": version, "config": config_slice, "inputs": inputs, "format": FORMAT},
        sort_keys=True,
        separators=(",", ":"),
    )
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def read_artifact(path: Path, manifest: dict[str, Any]) -> Artifact:
    """The artifact in a folder, as its manifest describes it. Raises KeyError where an entry is missing."""
    return Artifact(
        key=manifest["key"],
        stage=manifest["stage"],
        path=path,
        digest=manifest["digest"],
        summary=manifest["summary"],
        seconds=manifest["seconds"],
    )


def mismatch(path: Path, manifest: dict[str, Any]) -> str | None:
    """What differs between the files and their manifest, or None."""
    present = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} - {MANIFEST}
    if present != set(manifest["files"]):
        return f"files differ: {sorted(present ^ set(manifest['files']))}"
    for name, expected in manifest["files"].items():
        if (path / name).stat().st_size != expected["bytes"]:
            return f"{name}: size differs"
        if sha256(path / name) != expected["sha256"]:
            return f"{name}: sha256 differs"
    if digest_of(manifest["files"]) != manifest["digest"]:
        return "digest differs"
    return None


def digest_of(files: dict[str, Any]) -> str:
    """The digest of an artifact: of the names, sizes and digests of its files alone."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
