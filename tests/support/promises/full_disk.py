"""A disk that is really full, in every stage: a file system of a few megabytes in memory (tmpfs, needs root)."""

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.promises.count import Count
from tests.support.promises.whole_run import (
    Note,
    StageByStage,
    Started,
    assert_nothing_is_left,
    digests,
    finished,
    whole_artifacts,
)
from tests.support.stages import ALWAYS

_MEGABYTES = 48


def can_mount(folder: Path) -> bool:
    """Whether this process may mount a file system."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError), small_disk(folder):
        return True
    return False


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, of `_MEGABYTES`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m", "tmpfs", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def _fill(filler: Path, left: int) -> None:
    """Take all space but `left` bytes."""
    disk = os.statvfs(filler.parent)
    size = max(0, disk.f_bavail * disk.f_frsize - left)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, size))


def _until(root: Path, note: Note, last: str) -> None:
    made = StageByStage(root)
    made.run.store.remove_leftovers()
    for name in ALWAYS[: ALWAYS.index(last) + 1]:
        note({"done": made.execute(name)})


def full_disks(folder: Path, tries: int, seed: int = 0) -> Count:
    """`tries` in each stage, with none to half of the space left that its artifact takes; then with space again."""
    count = Count(3, "a full file system in each stage of a whole run, then space again")
    if not can_mount(folder / "probe"):
        return count
    reference = finished(folder / "reference")
    sizes = {name: _size(folder / "reference" / "objects" / record["key"]) for name, record in reference.items()}
    rng = random.Random(seed)
    with small_disk(folder / "disk") as root:
        Started(root, _until, ALWAYS[0]).wait()  # the folders of the store are there
        filler, known = root / "filler", dict[str, str]()
        for key in list((root / "objects").iterdir()):
            subprocess.run(["rm", "-r", str(key)], check=True)
        for name in ALWAYS:
            for number in range(tries):
                left = 0 if number == 0 else rng.randrange(sizes[name] // 2)
                with count.attempt(f"{name}, {left} bytes left, seed {seed}"):
                    _fill(filler, left)
                    failed = Started(root, _until, name).wait()
                    filler.unlink()
                    assert failed.code == 1, f"exit status {failed.code}"
                    error = str(failed.notes[-1])
                    assert "No space left" in error or "os error 28" in error, f"the error does not say why: {error}"
                    whole = whole_artifacts(root)
                    assert all(key in whole for key in known.values()), "an earlier artifact is gone"
                    assert list((root / "tmp").iterdir()) == [], "tmp is not reclaimed"
            with count.attempt(f"{name}, with space again", tries=0):
                again = Started(root, _until, name).wait()
                assert again.code == 0, again.notes[-1:]
                known[name] = reference[name]["key"]
        with count.attempt("the run after", tries=0):
            assert digests(finished(root)) == digests(reference), "other bytes than on a disk with space"
            assert_nothing_is_left(root)
    return count


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
