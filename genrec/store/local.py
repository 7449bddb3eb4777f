"""The artifact store: content-addressed folders, written once, complete or not there at all.

    objects/<key>/manifest.json + files      a finished artifact; the manifest is written last
    tmp/<uuid>/                              an artifact being written
    work/<key>/                              checkpoints and progress of a stage that may have to resume
    locks/<key>.lock                         flock: one computation a key; the kernel frees it when a process dies
    corrupt/<key>-<n>/                       entries whose bytes no longer match their manifest
    runs/<run-id>/                           reports; runs/latest points to the newest finished one
    service/<name>/                          which model is in service, and was (genrec/in_service/registry.py)

Commit protocol: write into tmp, fsync the files, write the manifest (sha256, sizes, inputs, config), fsync,
rename to objects/<key>, fsync the parent. A manifest that exists means a complete artifact; its digests are
verified before reuse. See "All file systems are not created equal" (Pillai et al., OSDI 2014) for why each fsync.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError

MANIFEST = "manifest.json"
FORMAT = 1


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


def make_key(stage: str, version: int, config_slice: dict[str, Any], inputs: dict[str, str]) -> str:
    """`<stage>-<24 hex digits>` of everything that decides the content: same key, same bytes."""
    text = json.dumps(
        {"stage": stage, "version": version, "config": config_slice, "inputs": inputs, "format": FORMAT},
        sort_keys=True,
        separators=(",", ":"),
    )
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


class Store:
    """Artifacts under one root folder (shared by all machines of a cluster)."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = Path(root).absolute()
        self.disk = disk or Disk()
        try:
            for name in ("objects", "tmp", "work", "locks", "corrupt", "runs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GenrecError(
                f"store {self.root}: cannot be written ({error.strerror}); choose another --store"
            ) from None

    def object_path(self, key: str) -> Path:
        return self.root / "objects" / key

    def work_path(self, key: str) -> Path:
        """A folder that survives a killed attempt and is removed once the key is committed."""
        path = self.root / "work" / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lookup(self, key: str) -> Artifact | None:
        """The artifact under a key, its bytes verified; None when there is none or it was corrupt (then set aside)."""
        path = self.object_path(key)
        if not path.exists():
            return None
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            problem = mismatch(path, manifest) or ("another key" if manifest["key"] != key else None)
            if problem is None:
                return _artifact(path, manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"manifest unreadable ({type(error).__name__})"
        self._set_aside(key, problem)
        return None

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        """What is written down of an artifact that `lookup` gave: version, config, inputs, files."""
        return json.loads((artifact.path / MANIFEST).read_bytes())

    def manifests(self, stage: str) -> Iterator[dict[str, Any]]:
        """The manifests of a stage's artifacts, newest first (unverified: for explanations only)."""
        found = sorted((self.root / "objects").glob(f"{stage}-*/{MANIFEST}"), key=lambda p: -p.stat().st_mtime)
        for path in found:
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(path.read_bytes())

    @contextlib.contextmanager
    def lock(self, key: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the key: a second process waits here, then finds the finished artifact."""
        with open(self.root / "locks" / f"{key}.lock", "w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder under tmp, removed afterwards whatever happens."""
        path = self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}"
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def commit(
        self,
        key: str,
        stage: str,
        folder: Path,
        *,
        version: int,
        config_slice: dict[str, Any],
        inputs: dict[str, str],
        summary: dict[str, Any],
        seconds: float,
        replace: bool = False,
    ) -> Artifact:
        """Make a folder under tmp the artifact of a key. An entry that is there already wins, unless `replace`."""
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.disk.fsync(path)
            files[path.relative_to(folder).as_posix()] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
        if not files:
            raise GenrecError(f"stage {stage}: wrote no file")
        manifest = {
            "key": key,
            "stage": stage,
            "version": version,
            "digest": _digest(files),
            "files": files,
            "inputs": inputs,
            "config": config_slice,
            "summary": summary,
            "seconds": round(seconds, 3),
            "created_at_unix_s": int(time.time()),
        }
        self.disk.write(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
        self.disk.fsync(folder / MANIFEST)
        for path in [*(p for p in folder.rglob("*") if p.is_dir()), folder]:
            self.disk.fsync(path)
        self._publish(key, folder, manifest, replace)
        target = self.object_path(key)
        if replace:
            self._discard(target)
        if not target.exists():
            self.disk.rename(folder, target)
            self.disk.fsync(target.parent)
        self.discard_work(key)
        artifact = self.lookup(key)
        if artifact is None:
            raise GenrecError(f"stage {stage}: artifact {key} does not read back as written; check the disk")
        return artifact

    def _publish(self, key: str, folder: Path, manifest: dict[str, Any], replace: bool) -> None:
        """Where the artifact has to be besides this root before it counts as committed: nowhere."""

    def discard_work(self, key: str) -> None:
        """Forget the checkpoints of a key."""
        self._discard(self.root / "work" / key)

    def _discard(self, path: Path) -> None:
        if path.exists():
            gone = self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}"
            self.disk.rename(path, gone)
            shutil.rmtree(gone, ignore_errors=True)

    def remove_leftovers(self) -> int:
        """Delete tmp folders whose process is gone (their names start with its id). Returns how many."""
        removed = 0
        for path in (self.root / "tmp").iterdir():
            owner = path.name.partition("-")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
        return removed

    def run_path(self, run_id: str) -> Path:
        path = self.root / "runs" / run_id
        path.mkdir(parents=True, exist_ok=True)
        return path

    def set_latest_run(self, run_id: str) -> None:
        link = self.root / "runs" / f".latest-{uuid.uuid4().hex}"
        link.symlink_to(run_id)
        os.replace(link, self.root / "runs" / "latest")

    def finish_run(self, run_id: str) -> None:
        """A run's report is written: the newest one from now on."""
        self.set_latest_run(run_id)

    # ---- small documents: read and written whole ------------------------------------------------------------------
    def write_document(self, name: str, text: str, new: bool = False) -> None:
        """Write or replace a small file, all or nothing. `name` is its path below the root.

        Raises GenrecError where it must be `new` and is there already.
        """
        target = self.root / name
        if new and target.exists():
            raise GenrecError(f"store {self.root}: {name} was written by another process just now; try again")
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.scratch() as folder:
            path = folder / target.name
            self.disk.write(path, text.encode())
            self.disk.fsync(path)
            self.disk.rename(path, target)
        self.disk.fsync(target.parent)

    def read_document(self, name: str) -> str:
        """A small file that `write_document` wrote. Raises GenrecError when there is none."""
        try:
            return (self.root / name).read_text()
        except FileNotFoundError:
            raise GenrecError(f"store {self.root}: no {name} there") from None

    def list_documents(self, folder: str) -> list[str]:
        """Names of the files right below a folder; none where there is no such folder."""
        return sorted(p.name for p in (self.root / folder).glob("*") if p.is_file())

    def list_folders(self, folder: str) -> list[str]:
        """Names of the folders right below a folder; none where there is no such folder."""
        return sorted(p.name for p in (self.root / folder).glob("*") if p.is_dir())

    def _set_aside(self, key: str, problem: str) -> None:
        target = self.root / "corrupt" / f"{key}-{uuid.uuid4().hex[:8]}"
        self.disk.rename(self.object_path(key), target)
        (target / "why.txt").write_text(problem + "\n")


def _artifact(path: Path, manifest: dict[str, Any]) -> Artifact:
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
        if _sha256(path / name) != expected["sha256"]:
            return f"{name}: sha256 differs"
    if _digest(manifest["files"]) != manifest["digest"]:
        return "digest differs"
    return None


def _digest(files: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
