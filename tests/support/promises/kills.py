"""A killed run leaves only whole artifacts, and the next one computes nothing again that was acknowledged."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

from genrec.store.artifact import MANIFEST, Disk
from tests.support.promises.count import Count
from tests.support.promises.whole_run import (
    Note,
    Started,
    acknowledged,
    assert_nothing_is_left,
    digests,
    finished,
    run_stages,
    whole_artifacts,
)
from tests.support.stages import ALWAYS

POINTS = (
    "a stage begins",
    "its output is written, nothing is synced",
    "one file is synced",
    "half of the manifest is written",
    "the manifest is written",
    "the manifest is synced",
    "before the rename into objects",
    "after the rename into objects",
    "objects is synced",
    "its checkpoints are discarded",
)


class Killing(Disk):
    """A disk that ends the process by SIGKILL at a named point of one stage's commit."""

    def __init__(self, point: str, stage: str, share: float) -> None:
        self.point, self.stage, self.share = point, stage, share
        self.now = ""

    def begin(self, stage: str) -> None:
        self.now = stage
        self.reached("a stage begins")

    def reached(self, point: str) -> None:
        if (point, self.now) == (self.point, self.stage):
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, path: Path, data: bytes) -> None:
        if path.name == MANIFEST:
            super().write(path, data[: int(len(data) * self.share)])
            self.reached("half of the manifest is written")
        super().write(path, data)
        if path.name == MANIFEST:
            self.reached("the manifest is written")

    def fsync(self, path: Path) -> None:
        is_output = path.is_file() and path.name != MANIFEST
        if is_output:
            self.reached("its output is written, nothing is synced")
        super().fsync(path)
        if is_output:
            self.reached("one file is synced")
        elif path.name == MANIFEST:
            self.reached("the manifest is synced")
        elif path.name == "objects":
            self.reached("objects is synced")

    def rename(self, source: Path, target: Path) -> None:
        if target.parent.name == "objects":
            self.reached("before the rename into objects")
        super().rename(source, target)
        if target.parent.name == "objects":
            self.reached("after the rename into objects")
        elif source.parent.name == "work":
            self.reached("its checkpoints are discarded")


def _killed_at(root: Path, note: Note, point: str, stage: str, share: float) -> None:
    disk = Killing(point, stage, share)
    run_stages(root, note, disk, disk.begin)


class _Chain:
    """Runs on one store that are killed one after the other, and what they have acknowledged."""

    def __init__(self, root: Path, reference: dict[str, str]) -> None:
        self.root, self.reference, self.known = root, reference, dict[str, str]()

    def look(self, started: Started) -> None:
        """After a process ended: what it acknowledged is there, and nothing was computed that had been acknowledged."""
        for name, record in acknowledged(started).items():
            assert record["digest"] == self.reference[name], f"{name} has other bytes than in a run that is not killed"
            assert name not in self.known or record["status"] == "cached", f"{name} was computed again"
            self.known[name] = record["key"]
        whole = whole_artifacts(self.root)
        lost = [name for name, key in self.known.items() if key not in whole]
        assert not lost, f"acknowledged and gone: {lost}"

    def end(self) -> None:
        """Run to the end: the bytes of a run that is not killed, and nothing left over."""
        started = Started(self.root, run_stages).wait()
        assert started.code == 0, started.notes[-1:]
        self.look(started)
        assert len(self.known) == len(ALWAYS)
        assert_nothing_is_left(self.root)


def named_points(folder: Path, seeds: int, points: tuple[str, ...] = POINTS) -> Count:
    """`seeds` kills at every point, each in another stage (seed modulo their number), all of a point on one store."""
    count = Count(1, "SIGKILL at 10 named points of a stage, each seed in another stage, a whole run each time")
    reference = digests(finished(folder / "reference"))
    for point in points:
        chain = _Chain(folder / "store", reference)
        for seed in range(seeds):
            with count.attempt(f"{point}, seed {seed}"):
                if seed and seed % len(ALWAYS) == 0:
                    chain.end()
                    shutil.rmtree(chain.root)
                    chain = _Chain(folder / "store", reference)
                share = random.Random(seed).random()
                stage = ALWAYS[seed % len(ALWAYS)]
                started = Started(chain.root, _killed_at, point, stage, share).wait()
                assert started.code == -signal.SIGKILL, f"the point was not reached in {stage}: {started.notes[-1:]}"
                chain.look(started)
        with count.attempt(f"{point}, the run after the last kill", tries=0):
            chain.end()
        shutil.rmtree(chain.root)
    return count


def random_moments(folder: Path, kills: int, seed: int = 0) -> Count:
    """SIGKILL at moments drawn evenly from the length of a whole run; a store is used until a run comes to its end."""
    count = Count(1, "SIGKILL of a whole run at random moments")
    reference = digests(finished(folder / "reference"))
    began = time.monotonic()
    finished(folder / "timed")
    length_s = time.monotonic() - began
    rng = random.Random(seed)
    chain = _Chain(folder / "store", reference)
    while count.tried < kills:
        started = Started(chain.root, run_stages)
        started.process.join(rng.random() * length_s)
        if started.process.exitcode is None:
            with count.attempt(f"kill {count.tried} of seed {seed}"):
                started.process.kill()
                started.wait()
                chain.look(started)
            if count.tried < kills:
                continue
        with count.attempt(f"the run after kill {count.tried} of seed {seed}", tries=0):
            chain.end()
        shutil.rmtree(chain.root)
        chain = _Chain(folder / "store", reference)
    return count
