"""Generations of an artifact: a refresh writes beside what is there, and one file says which generation is current.

    objects/<key>/                  the first generation
    generations/<key>/<id>/         one that was written in its place: the same files
    generations/<key>/current       the id of the current generation; no such file: the first one is
    locks/read-<n>.lock             shared flock of everyone who looked a generation up; n: its slot, by its hash

The switch is one rename of `current`, so a crash leaves the old generation or the new one. Whoever looked a generation
up goes on reading it: it is removed only when it is not the current one, no record names it
(`Store.remove_old_generations`) and no process holds its read lock, which the kernel releases when a process ends.
Generations share `_SLOTS` read locks, so that a process that reads many artifacts holds few open files; a slot that is
held for another generation only delays a removal.
"""

import contextlib
import fcntl
import hashlib
import json
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from genrec.store.artifact import MANIFEST, Disk

FIRST = "first"
_CURRENT = "current"
_ID = re.compile(r"[0-9a-f]{32}")
_SLOTS = 32


class Generations:
    """The generations of the artifacts below one root folder."""

    def __init__(self, root: Path, disk: Disk) -> None:
        self.root, self.disk = root, disk
        self._held: dict[int, IO[str]] = {}  # by slot
        self._guard = threading.Lock()  # of _held: several threads may share a store

    def path(self, key: str, generation: str) -> Path:
        return self.root / "objects" / key if generation == FIRST else self.root / "generations" / key / generation

    def current(self, key: str) -> str:
        """The id of the current generation, whether or not it is there."""
        try:
            return (self.root / "generations" / key / _CURRENT).read_text().strip()
        except FileNotFoundError:
            return FIRST

    def retire(self, key: str) -> str | None:
        """Leave a key without a current generation, to remove the one that was (its id; None: there was none)."""
        with self._switching(key):
            now = self.current(key)
            if not self.path(key, now).exists():
                return None
            self.disk.mkdir(self.root / "generations" / key)
            self._point(key, uuid.uuid4().hex)  # of no folder
            return now

    def settle(self, key: str, generation: str) -> bool:
        """After `retire`: make the generation current again where it is still there; whether it is gone."""
        with self._switching(key):
            there = self.path(key, generation).is_dir()
            if there and not self.path(key, self.current(key)).exists():  # else it was written anew meanwhile
                self._point(key, generation)
            return not there

    def of(self, key: str) -> list[str]:
        """The ids of the generations that are there; a folder with another name is none, and is never removed."""
        folders = (p for p in (self.root / "generations" / key).glob("*") if p.is_dir())
        later = sorted(p.name for p in folders if _ID.fullmatch(p.name))
        return [*([FIRST] if self.path(key, FIRST).is_dir() else []), *later]

    def digest(self, key: str, generation: str) -> str | None:
        """The digest in a generation's manifest; None where it cannot be read."""
        try:
            return json.loads((self.path(key, generation) / MANIFEST).read_bytes())["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def hold(self, key: str, digest: str | None = None) -> Path | None:
        """The folder of the current generation, or of one with a digest, which stays until `release`; None: absent."""
        while True:
            generation = self.find(key, digest)
            if generation is None:
                return None
            self._hold(key, generation)
            if self.find(key, digest) == generation:  # else it was replaced, and may be gone, before we held it
                return self.path(key, generation)

    def find(self, key: str, digest: str | None = None) -> str | None:
        """The id of the current generation, or of one with a digest; None where it is not there."""
        current = self.current(key)
        if digest is None:
            return current if self.path(key, current).exists() else None
        found = [g for g in (current, *self.of(key)) if self.digest(key, g) == digest]
        return found[0] if found else None

    def _hold(self, key: str, generation: str) -> None:
        slot = _slot(key, generation)
        with self._guard:
            if slot not in self._held:
                lock = self._open_read_lock(slot)
                fcntl.flock(lock, fcntl.LOCK_SH)
                self._held[slot] = lock

    def _open_read_lock(self, slot: int) -> IO[str]:
        """Open for reading and writing: NFS gives a shared lock only to a reader, an exclusive one only to a writer."""
        return open(self.root / "locks" / f"read-{slot}.lock", "a+")

    def release(self) -> None:
        """Hold no generation any more."""
        with self._guard:
            for lock in self._held.values():
                lock.close()
            self._held.clear()

    def install(self, key: str, folder: Path, replace: bool, current: bool = True) -> None:
        """Make a finished folder the current generation, or one beside it. What is there wins, unless `replace`."""
        with self._switching(key):
            now = self.current(key)
            path = self.path(key, now)
            if path.exists() and (not replace or _same_manifest(path, folder)):
                return
            if current and now == FIRST and not path.exists():
                self.disk.rename(folder, path)
                self.disk.fsync(path.parent)
                return
            new = uuid.uuid4().hex
            path = self.path(key, new)
            self.disk.mkdir(path.parent)
            self.disk.rename(folder, path)
            self.disk.fsync(path.parent)
            if current:
                self._point(key, new)

    def _point(self, key: str, generation: str) -> None:
        pointer = self.root / "generations" / key / _CURRENT
        partial = pointer.with_name(f".{generation}")
        try:
            self.disk.write(partial, generation.encode())
            self.disk.fsync(partial)
            self.disk.rename(partial, pointer)
            self.disk.fsync(pointer.parent)
        finally:
            partial.unlink(missing_ok=True)

    def remove_unnamed(self, names: Callable[[], Callable[[str, str | None], bool]]) -> int:
        """Remove generations that are not current, that nobody reads and that no record names; returns how many.

        names: reads the records; what it returns says whether one of them names (key, digest).
        """
        keys = sorted(p.name for p in (self.root / "generations").iterdir())
        old = [(key, generation) for key in keys for generation in self.of(key) if generation != self.current(key)]
        # First who reads, then what is named: a run that ends between the two has written its report before it stopped
        # reading. Looked at again under the lock, for whoever began to read since.
        unread = [(key, generation) for key, generation in old if not self._is_read(key, generation)]
        if not unread:
            return 0
        is_named = names()
        return sum(self._remove(*each) for each in unread if not is_named(each[0], self.digest(*each)))

    def _is_read(self, key: str, generation: str) -> bool:
        with self._open_read_lock(_slot(key, generation)) as lock:
            return not _lock_at_once(lock)

    def _remove(self, key: str, generation: str) -> bool:
        with self._switching(key), self._open_read_lock(_slot(key, generation)) as lock:
            path = self.path(key, generation)
            if generation == self.current(key) or not path.is_dir() or not _lock_at_once(lock):
                return False
            (path / MANIFEST).unlink(missing_ok=True)  # first: what is cut off here is no artifact
            shutil.rmtree(path)
            if not self.of(key):  # the last one: the file that says which is current goes too
                folder = self.root / "generations" / key
                (folder / _CURRENT).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # it holds what is none of ours
                    folder.rmdir()
            return True

    @contextlib.contextmanager
    def _switching(self, key: str) -> Iterator[None]:
        """One process at a time changes which generations of a key there are."""
        with open(self.root / "locks" / f"{key}@switch.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _slot(key: str, generation: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{key}@{generation}".encode()).digest()[:4]) % _SLOTS


def _lock_at_once(lock: IO[str]) -> bool:
    """Lock for this process alone; False where another holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_manifest(one: Path, other: Path) -> bool:
    try:
        return (one / MANIFEST).read_bytes() == (other / MANIFEST).read_bytes()
    except FileNotFoundError:
        return False
