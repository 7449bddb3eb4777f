"""The artifact store: content-addressed folders, written once, complete or not there at all.

    objects/<key>/manifest.json + files      a finished artifact; the manifest is written last
    generations/<key>/                       what a refresh wrote in its place (genrec/store/generations.py)
    tmp/<uuid>/, tmp/<uuid>.owner            an artifact being written, and by whom (genrec/store/scratch.py)
    work/<key>/                              checkpoints and progress of a stage that may have to resume
    locks/<key>.lock                         flock: one computation a key; the kernel frees it when a process dies
    corrupt/<key>-<n>/                       entries whose bytes no longer match their manifest
    runs/<run-id>/                           reports; runs/latest points to the newest finished one
    service/<name>/                          which model is in service, and was (genrec/in_service/registry.py)
    recommendations/<name>/latest.json       the newest lists for every customer: key, folder, summary (flows/recommend.py)

Commit protocol: write into tmp, fsync the files, write the manifest (sha256, sizes, inputs, config), fsync,
rename to objects/<key>, fsync the parent. A manifest that exists means a complete artifact; its digests are
verified before reuse. See "All file systems are not created equal" (Pillai et al., OSDI 2014) for why each fsync.

Same key, same result: the artifacts of one key are equal up to the rounding of floating-point arithmetic, and what
follows from it. They are equal to the byte only where they were computed on the same kind of CPU or GPU, with the same
number of threads and the same versions of the libraries: another order of summation rounds differently. So the manifest
says on what an artifact was made (genrec/store/origin.py), which is part of neither its key nor its digest, and a run
may ask that what was made elsewhere is computed again (`--refresh-elsewhere`).
"""

import contextlib
import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from genrec.errors import GenrecError
from genrec.store.artifact import MANIFEST, Artifact, Disk, digest_of, make_key, mismatch, read_artifact, sha256
from genrec.store.generations import Generations
from genrec.store.scratch import Place, Scratch, this_place

__all__ = ["MANIFEST", "Artifact", "Disk", "Store", "is_store", "make_key", "mismatch"]


_LOCK_POLL_S = 0.1


def is_store(root: Path) -> bool:
    """Whether a folder is a store. Others have a `runs` too: where the locks are missing, an artifact has to be there."""
    if not ((root / "objects").is_dir() and (root / "runs").is_dir()):
        return False
    return (root / "locks").is_dir() or any(root.glob(f"objects/*/{MANIFEST}"))


class Store:
    """Artifacts under one root folder (shared by all machines of a cluster)."""

    def __init__(self, root: Path, disk: Disk | None = None, place: Place | None = None) -> None:
        self.root = Path(root).absolute()
        self.disk = disk or Disk()
        self.generations = Generations(self.root, self.disk)
        self._scratch = Scratch(self.root / "tmp", place or this_place())
        try:
            for name in ("objects", "generations", "tmp", "work", "locks", "corrupt", "runs"):
                self.disk.mkdir(self.root / name)
        except OSError as error:
            raise GenrecError(
                f"store {self.root}: cannot be written ({error.strerror}); choose another --store"
            ) from None

    def object_path(self, key: str, digest: str | None = None) -> Path:
        """The folder of a key's artifact, whether or not there is one: that with a digest, else the current one."""
        return self.generations.path(key, self.generations.find(key, digest) or self.generations.current(key))

    def work_path(self, key: str) -> Path:
        """A folder that survives a killed attempt and is removed once the key is committed."""
        path = self.root / "work" / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lookup(self, key: str, digest: str | None = None) -> Artifact | None:
        """The artifact under a key, its bytes verified; None when there is none or it was corrupt (then set aside).

        With a digest: the generation that has it, current or not. The folder stays as it is until `release`, also
        when another process refreshes the key.
        """
        path = self.generations.hold(key, digest)
        if path is None:
            return None
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            problem = mismatch(path, manifest) or ("another key" if manifest["key"] != key else None)
            if problem is None:
                return read_artifact(path, manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"manifest unreadable ({type(error).__name__})"
        self._set_aside(key, path, problem)
        return None

    def release(self) -> None:
        """Read none of the artifacts any more that were looked up; the end of the process does it too."""
        self.generations.release()

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
    def lock(
        self, key: str, on_wait: Callable[[], None] = lambda: None, while_waiting: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Hold the key: a second process or thread waits here, then finds the finished artifact.

        on_wait: called once where it has to wait. while_waiting: called again and again then; it may raise, to give up.
        """
        with open(self.root / "locks" / f"{key}.lock", "w") as handle:
            told = False
            while not _taken(handle):
                if not told:
                    on_wait()
                    told = True
                while_waiting()
                time.sleep(_LOCK_POLL_S)
            yield

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """An empty folder under tmp, removed afterwards whatever happens."""
        return self._scratch.new()

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
        made_on: Mapping[str, Any] | None = None,
        input_digests: Mapping[str, str] | None = None,
        replace: bool = False,
    ) -> Artifact:
        """Make a folder under tmp the artifact of a key. An entry that is there already wins, unless `replace`: then
        the new one becomes the current generation beside it.

        made_on: on what it was computed (`genrec.store.origin`). input_digests: of the artifacts that were read, by the
        names in `inputs`; a key alone does not tell the generations of a refreshed one apart.
        """
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.disk.fsync(path)
            files[path.relative_to(folder).as_posix()] = {"sha256": sha256(path), "bytes": path.stat().st_size}
        if not files:
            raise GenrecError(f"stage {stage}: wrote no file")
        manifest = {
            "key": key,
            "stage": stage,
            "version": version,
            "digest": digest_of(files),
            "files": files,
            "inputs": inputs,
            "config": config_slice,
            "summary": summary,
            "seconds": round(seconds, 3),
            "created_at_unix_s": int(time.time()),
            "made_on": dict(made_on or {}),
            "input_digests": dict(input_digests or {}),
        }
        self.disk.write(folder / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
        self.disk.fsync(folder / MANIFEST)
        for path in [*(p for p in folder.rglob("*") if p.is_dir()), folder]:
            self.disk.fsync(path)
        self._publish(key, folder, manifest, replace)
        self.generations.install(key, folder, replace)
        self.discard_work(key)
        artifact = self.lookup(key)
        if artifact is None:
            raise GenrecError(f"stage {stage}: artifact {key} does not read back as written; check the disk")
        return artifact

    def _publish(self, key: str, folder: Path, manifest: dict[str, Any], replace: bool) -> None:
        """Copy the artifact to wherever else it has to be before it counts as committed: nowhere here."""

    def discard_work(self, key: str) -> None:
        """Forget the checkpoints of a key."""
        path = self.root / "work" / key
        if path.exists():
            with self.scratch() as folder:
                self.disk.rename(path, folder / "work")

    def remove_leftovers(self) -> int:
        """Delete the temporary folders whose owner surely is gone (genrec/store/scratch.py). Returns how many."""
        return self._scratch.remove_leftovers()

    def remove_old_generations(self) -> int:
        """Delete artifacts that were replaced and that no process reads and no record names. Returns how many."""
        if not any((self.root / "generations").iterdir()):
            return 0
        return self.generations.remove_unnamed(self._is_named)

    def _is_named(self) -> Callable[[str, str | None], bool]:
        """Whether the report of a run or a record of a model in service names (key, digest).

        A record without digests names those of its run's report; where that is gone too, all of its keys.
        """
        digests: set[tuple[str, str]] = set()
        reports = set(self.list_folders("runs"))
        for run in sorted(reports):
            try:
                stages = json.loads(self.read_document(f"runs/{run}/report.json"))["stages"]
                digests |= {(stage["key"], stage["digest"]) for stage in stages}
            except (GenrecError, ValueError, KeyError, TypeError):
                reports.discard(run)  # not finished, or its report is lost: then it names nothing
        keys: set[str] = set()
        for name in self.list_folders("service"):
            for document in self.list_documents(f"service/{name}"):
                try:
                    record = json.loads(self.read_document(f"service/{name}/{document}"))
                    recorded = record.get("digests", {})
                    digests |= {(record["keys"][stage], digest) for stage, digest in recorded.items()}
                    if not recorded and record["run_id"] not in reports:
                        keys |= set(record["keys"].values())
                except (ValueError, KeyError, TypeError, AttributeError):
                    return lambda key, digest: True  # damaged: it may name anything
        return lambda key, digest: key in keys or (key, digest) in digests

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

    def run_named(self, run: str) -> str:
        """The folder below runs/ that a name means: `latest`, which is a link here, or the id of a run."""
        return run

    def finished_runs(self) -> Iterator[str]:
        """The runs that have a report, newest first."""
        yield from runs_in(self.root)

    # ---- small documents: read and written whole ------------------------------------------------------------------
    def write_document(self, name: str, text: str, new: bool = False) -> None:
        """Write or replace a small file, all or nothing. `name` is its path below the root.

        Raises GenrecError where it must be `new` and is there already.
        """
        target = self.root / name
        if new and target.exists():
            raise GenrecError(f"store {self.root}: {name} was written by another process just now; try again")
        self.disk.mkdir(target.parent)
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

    def _set_aside(self, key: str, path: Path, problem: str) -> None:
        target = self.root / "corrupt" / f"{key}-{uuid.uuid4().hex[:8]}"
        try:
            self.disk.rename(path, target)
        except FileNotFoundError:
            return  # another process was faster
        (target / "why.txt").write_text(problem + "\n")


def runs_in(root: Path) -> list[str]:
    """The runs that have a report in a folder, which need not be a store, newest first."""
    found = sorted((root / "runs").glob("*/report.json"), key=lambda p: -p.stat().st_mtime)
    return [p.parent.name for p in found if not p.parent.is_symlink()]


def _taken(handle: IO[str]) -> bool:
    """Whether the lock of the file is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
