"""Temporary folders of a store that several processes, containers and machines share, each with a recorded owner.

    tmp/<32 hex digits>/            the folder
    tmp/<32 hex digits>.owner       JSON: host and boot id of its owner, who holds an flock on this file while it lives

The kernel releases the lock when its holder dies, however that happens. A folder is removed only when its owner surely
is gone, that is when the lock can be taken and the owner ran

- on the same boot of the same kernel (containers of one machine share both, whatever their host names), or
- on this host before it was started again, or
- on this host, where neither has a boot id (systems without /proc).

An empty owner's file without a folder is of a process that died between making and locking it. One that is alive finds,
once it has the lock, that its file is gone, and makes another.

The folder of another host is left alone until nothing in it has changed for `ABANDONED_S` (30 days): only then is the
host taken to be gone for good. The same holds for what has no readable owner. Other names are not ours: they stay.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

ABANDONED_S = 30 * 24 * 3600.0
_SUFFIX = ".owner"
_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Place:
    """Where a process runs: a host, and one boot of its kernel ("" where the system does not tell)."""

    host: str
    boot: str


def this_place(root: Path = Path("/")) -> Place:
    """The place of this process; `root` is where /etc and /proc are."""
    machine, boot = (_read(root / p) for p in ("etc/machine-id", "proc/sys/kernel/random/boot_id"))
    return Place(f"{socket.gethostname()}/{machine}", boot)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


class Scratch:
    """The temporary folders below one folder."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder, self.place = folder, place

    @contextlib.contextmanager
    def new(self) -> Iterator[Path]:
        """An empty folder, removed afterwards whatever happens."""
        # Owner first, folder second, and the other way round at the end: so a folder without one has had its time.
        path, lock = self._owned()
        with lock:
            try:
                path.mkdir()
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
                path.with_suffix(_SUFFIX).unlink(missing_ok=True)

    def _owned(self) -> tuple[Path, IO[str]]:
        """The path of a folder to be made, and its owner's file, locked and written."""
        while True:
            path = self.folder / uuid.uuid4().hex
            owner = path.with_suffix(_SUFFIX)
            lock = open(owner, "x")  # noqa: SIM115  (held by the caller)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if os.fstat(lock.fileno()).st_nlink:  # else taken for a leftover, before it was locked
                    lock.write(json.dumps(asdict(self.place)))
                    lock.flush()
                    return path, lock
            except BaseException:
                owner.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    lock.close()
                raise
            lock.close()

    def remove_leftovers(self) -> int:
        """Remove the folders whose owner surely is gone; returns how many."""
        names = {path.name.removesuffix(_SUFFIX) for path in self.folder.iterdir()}
        return sum(self._remove_leftover(name) for name in sorted(names) if _NAME.fullmatch(name))

    def _remove_leftover(self, name: str) -> bool:
        path = self.folder / name
        owner = path.with_name(name + _SUFFIX)
        try:
            # To be written too, for NFS gives an exclusive lock to nobody else.
            lock = open(owner, "r+")  # noqa: SIM115  (the `with` below closes it)
        except PermissionError:
            return False  # of another user
        except FileNotFoundError:
            return _remove(path)  # given up by its owner; a task that was still writing made it again
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            text = lock.read()
            killed_before_it_wrote = not text and not path.exists()
            if not (killed_before_it_wrote or self._is_gone(text) or (_abandoned(path) and _abandoned(owner))):
                return False
            found = _remove(path)
            owner.unlink(missing_ok=True)
            return found

    def _is_gone(self, owner: str) -> bool:
        """Whether the owner, whose lock nobody holds, cannot be alive where we do not see its locks."""
        try:
            place = Place(**json.loads(owner))
        except (ValueError, TypeError):
            return False  # not written yet, or of another version
        if place.boot and place.boot == self.place.boot:
            return True
        return place.host == self.place.host and bool(place.boot) == bool(self.place.boot)


def _remove(path: Path) -> bool:
    if not path.exists():
        return False
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()


def _abandoned(path: Path) -> bool:
    """Whether nothing at or below a path has changed for a long time."""
    newest = 0.0
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            newest = max(newest, each.lstat().st_mtime)
    return time.time() - newest > ABANDONED_S
