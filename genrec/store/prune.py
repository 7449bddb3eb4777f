"""What a store can do without: leftovers of failed runs, artifacts that nothing names, corrupt entries, checkpoints.

Only what bears a name that a store gives, and has not changed for some days, is removed, and of that nothing in use:

- a run's folder stays while it holds a report or a comparison, or a process works on it (`running`);
- an artifact stays while a file of a run, a record of a model in service or that of the newest recommendations has its
  key in it, while a process reads it (genrec/store/generations.py) or holds the lock of its key;
- checkpoints stay while a process holds the lock of their key.

A run that failed can go on from its finished stages and its last checkpoint for as many days as these are kept. In a store
on an object store only this machine's staging folder is pruned, and uploads that were replaced.
"""

import contextlib
import fcntl
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from genrec.store.artifact import KEY, MANIFEST
from genrec.store.local import Store

Kind = Literal["failed run", "old generation", "artifact", "corrupt entry", "checkpoints"]
_FINISHED = ("report.json", "comparison.json")
_WORD = re.compile(r"[\w-]+")
_KEY, _SET_ASIDE = re.compile(KEY), re.compile(KEY + r"-[0-9a-f]{8}")
_RUN = re.compile(r"\d{8}-\d{6}-.+")  # the name of a run that a command started
_BATCH = 100  # keys locked at once


@dataclass(frozen=True)
class Item:
    """Something that can be removed."""

    kind: Kind
    path: Path
    key: str  # of an artifact or of checkpoints, else ""
    bytes: int


@contextlib.contextmanager
def running(root: Path, run_id: str) -> Iterator[None]:
    """Mark the folder of a run as in use, until the process ends at the latest."""
    with _open_lock(root, _lock_of_run(run_id)) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def removable(store: Store, keep_days: float) -> list[Item]:
    """What has not changed for `keep_days` days and is not in use, as far as that is known before it is locked."""
    before = time.time() - keep_days * 24 * 3600
    items = [*_failed_runs(store), *_artifacts(store), *_corrupt(store), *_checkpoints(store)]
    return [item for item in items if changed_at(item.path) <= before]


def remove(store: Store, items: Sequence[Item]) -> list[Item]:
    """Remove what `removable` found; returns what is gone: what has come into use since stays."""
    gone = [item for item in items if item.kind not in ("artifact", "old generation") and _remove_folder(store, item)]
    artifacts = [item for item in items if item.kind == "artifact"]
    for start in range(0, len(artifacts), _BATCH):
        gone += _remove_artifacts(store, artifacts[start : start + _BATCH])
    store.remove_old_generations()
    return gone + [item for item in items if item.kind == "old generation" and not item.path.exists()]


def disk_use(root: Path) -> dict[str, int]:
    """Bytes of files in each folder of a store, the largest first."""
    sizes = {path.name: size(path) for path in root.iterdir() if path.is_dir() and not path.is_symlink()}
    return dict(sorted(sizes.items(), key=lambda entry: -entry[1]))


# ---- what there is ----------------------------------------------------------------------------------------------------


def _failed_runs(store: Store) -> Iterator[Item]:
    for path in _folders(store.root / "runs"):
        is_live = _is_locked(store.root, _lock_of_run(path.name))
        if _is_of_run(store.root, path) and not _is_finished(path) and not is_live:
            yield Item("failed run", path, "", size(path))


def _artifacts(store: Store) -> Iterator[Item]:
    """Current generations whose key nothing names, and older ones that no record names."""
    generations, words, is_named = store.generations, _words(store), store._is_named()
    keys = {p.name for folder in ("objects", "generations") for p in _folders(store.root / folder)}
    for key in sorted(filter(_KEY.fullmatch, keys)):
        current = generations.current(key)
        for generation in generations.of(key):
            path = generations.path(key, generation)
            if generation != current and not is_named(key, generations.digest(key, generation)):
                yield Item("old generation", path, key, size(path))
            elif generation == current and key not in words and not is_named(key, generations.digest(key, generation)):
                yield Item("artifact", path, key, size(path))


def _corrupt(store: Store) -> Iterator[Item]:
    for path in _folders(store.root / "corrupt"):
        if _SET_ASIDE.fullmatch(path.name):
            yield Item("corrupt entry", path, "", size(path))


def _checkpoints(store: Store) -> Iterator[Item]:
    for path in _folders(store.root / "work"):
        if _KEY.fullmatch(path.name) and not _is_locked(store.root, f"{path.name}.lock"):
            yield Item("checkpoints", path, path.name, size(path))


def _words(store: Store) -> set[str]:
    """Every word in the files of the runs, finished or not, of the models in service and of the newest recommendations:
    all keys among them."""
    folders = [f"runs/{name}" for name in store.list_folders("runs")]
    folders += [f"{kind}/{name}" for kind in ("service", "recommendations") for name in store.list_folders(kind)]
    texts = [store.read_document(f"{f}/{n}") for f in folders for n in store.list_documents(f) if n.endswith(".json")]
    texts += [path.read_text(errors="replace") for path in (store.root / "runs").glob("*/*.json")]
    return {word for text in texts for word in _WORD.findall(text)}


# ---- removal ----------------------------------------------------------------------------------------------------------


def _remove_folder(store: Store, item: Item) -> bool:
    """Remove a run's folder, checkpoints or a corrupt entry, alone with it; whether it is gone."""
    name = _lock_of_run(item.path.name) if item.kind == "failed run" else f"{item.path.name}.lock"
    with _alone(store.root, name) as alone:
        if not alone or (item.kind == "failed run" and _is_finished(item.path)):
            return False
        shutil.rmtree(item.path, ignore_errors=True)
        return not item.path.exists()


def _remove_artifacts(store: Store, items: Sequence[Item]) -> list[Item]:
    """Remove current generations whose keys nobody computes: they are made old ones, and go as these do."""
    with contextlib.ExitStack() as locks:
        free = [item for item in items if locks.enter_context(_alone(store.root, f"{item.key}.lock"))]
        words = _words(store)
        retired = [(item, store.generations.retire(item.key)) for item in free if item.key not in words]
        try:
            store.remove_old_generations()
        finally:  # what is read or named by now is current again
            gone = [
                item for item, generation in retired if generation and store.generations.settle(item.key, generation)
            ]
        return gone


# ---- files and locks --------------------------------------------------------------------------------------------------


def _open_lock(root: Path, name: str) -> IO[str]:
    """Open for reading and writing: NFS gives a shared lock only to a reader, an exclusive one only to a writer."""
    return open(root / "locks" / name, "a+")


@contextlib.contextmanager
def _alone(root: Path, name: str) -> Iterator[bool]:
    """Hold a lock exclusively, where nobody else holds it; whether it is held."""
    with _open_lock(root, name) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _is_locked(root: Path, name: str) -> bool:
    if not (root / "locks" / name).exists():
        return False
    with _alone(root, name) as alone:
        return not alone


def _lock_of_run(run_id: str) -> str:
    return f"run-{run_id}.lock"


def _is_of_run(root: Path, folder: Path) -> bool:
    """Whether a run made a folder: it had its lock, or it ended before it began, with its name claimed and no more."""
    if (root / "locks" / _lock_of_run(folder.name)).exists():
        return True
    return bool(_RUN.fullmatch(folder.name)) and not any(folder.iterdir())


def _is_finished(run: Path) -> bool:
    return any((run / name).exists() for name in _FINISHED)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and not path.is_symlink())


def _files(path: Path) -> Iterator[Path]:
    return (p for p in path.rglob("*") if p.is_symlink() or p.is_file())


def size(path: Path) -> int:
    """Bytes of the files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for file in _files(path):
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


def changed_at(path: Path) -> float:
    """When anything at or below a path was changed last, Unix time in seconds; of an artifact, when it was written."""
    if (path / MANIFEST).is_file():
        return (path / MANIFEST).stat().st_mtime
    newest = 0.0
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, each.lstat().st_mtime)
    return newest
