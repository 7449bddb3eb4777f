"""Damaged artifacts and failing stages of a whole run: found, made again once, and nothing else with them."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from genrec.errors import GenrecError
from genrec.store.artifact import MANIFEST
from tests.support.promises.count import Count
from tests.support.promises.disk_faults import KINDS, Failing
from tests.support.promises.whole_run import Note, StageByStage, Started, digests, finished, stage_of, whole_artifacts
from tests.support.stages import ALWAYS

MUTATIONS = ("truncate", "flip a byte", "delete", "empty", "swap", "add a file", "cut the manifest")


def counted(count: Count, root: Path, function: Callable[..., None], *arguments: Any) -> None:
    """Add the tries that a process on a store notes as [name, what was wrong or null]."""
    started = Started(root, function, *arguments).wait(3600)
    for name, problem in (n for n in started.notes if isinstance(n, list)):
        with count.attempt(name):
            assert problem is None, problem
    with count.attempt("the process", tries=0):
        assert started.code == 0, started.notes[-1:]


def _noted(note: Note, name: str, attempt: Callable[[], None]) -> None:
    try:
        attempt()
        note([name, None])
    except AssertionError as error:
        note([name, str(error)])


def mutate(folder: Path, kind: str, rng: random.Random) -> str:
    """Damage an artifact in one way; the name of the file. Never gives back the same bytes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST and p.stat().st_size)
    path = rng.choice(files)
    data = path.read_bytes()
    at = rng.randrange(len(data))
    if kind == "truncate":
        path.write_bytes(data[:at])
    elif kind == "flip a byte":
        path.write_bytes(data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :])
    elif kind == "delete":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "swap":  # the bytes of another file, or of another run, of the same length
        others = [p.read_bytes() for p in files if p.read_bytes() != data]
        path.write_bytes(rng.choice(others) if others else rng.randbytes(len(data)))
    elif kind == "add a file":
        (folder / "more.bin").write_bytes(data)
    else:
        path = folder / MANIFEST
        path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
    return path.name


def _corrupt(root: Path, note: Note, mutations: int, seed: int) -> None:
    rng, made = random.Random(seed), StageByStage(root)
    reference = {name: made.execute(name)["digest"] for name in ALWAYS}
    for number in range(mutations):
        kind, name = MUTATIONS[number % len(MUTATIONS)], rng.choice(ALWAYS)
        file = mutate(made.run.artifacts[name].path, kind, rng)

        def attempt(name: str = name) -> None:
            aside = len(list((root / "corrupt").iterdir()))
            record = made.execute(name)
            assert record["status"] == "computed", "it was served"
            assert "corrupt" in record["reason"], record["reason"]
            assert record["digest"] == reference[name], "it was made with other bytes"
            assert len(list((root / "corrupt").iterdir())) == aside + 1, "it was not set aside once"
            assert [made.execute(s)["status"] for s in ALWAYS] == ["cached"] * len(ALWAYS), "more was computed"

        _noted(note, f"seed {seed}, mutation {number}: {kind} in {file} of {name}", attempt)


def corruptions(folder: Path, mutations: int, seed: int = 0) -> Count:
    """Random damage to random artifacts of a finished run."""
    count = Count(4, "damage to a stored artifact of a whole run (7 kinds), then the run again")
    counted(count, folder / "store", _corrupt, mutations, seed)
    return count


class _BrokenError(Exception):
    pass


def _fail_in_turn(root: Path, note: Note, reference: dict[str, str]) -> None:
    for name in ALWAYS:

        def attempt(name: str = name) -> None:
            stage, made = stage_of(name), StageByStage(root)

            def fails(job: Any, **inputs: Any) -> dict[str, Any]:
                stage_function(job, **inputs)  # all of its output is there
                raise _BrokenError

            stage_function = stage.function
            before = {s: made.execute(s)["status"] for s in ALWAYS[: ALWAYS.index(name)]}
            assert set(before.values()) <= {"cached"}, "a stage before was computed again"
            with patch.object(stage, "function", fails):
                try:
                    made.execute(name)
                    raise AssertionError("the error was swallowed")
                except _BrokenError:
                    pass
            whole_artifacts(root)
            again = StageByStage(root)
            records = [again.execute(s) for s in ALWAYS[: ALWAYS.index(name) + 1]]
            assert [r["status"] for r in records] == [*["cached"] * len(before), "computed"]
            assert records[-1]["digest"] == reference[name], "another result than in a run that does not fail"

        _noted(note, f"{name} fails", attempt)


def failed_stages(folder: Path) -> Count:
    """Each stage failing after it wrote its output, then the run again."""
    count = Count(6, "each stage failing at its end, then the run again: that stage alone is computed")
    counted(count, folder / "store", _fail_in_turn, digests(finished(folder / "reference")))
    return count


def _stages_and_calls() -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        for name in ALWAYS:
            yield kind, name


def _fail_every_call(root: Path, note: Note, reference: dict[str, str], kinds: list[str]) -> None:
    for kind, name in _stages_and_calls():
        if kind not in kinds:
            continue
        if name == ALWAYS[0]:
            shutil.rmtree(root)
        at, succeeded = 0, False
        while not succeeded:
            made, disk = StageByStage(root), Failing(at, kind)
            for before in ALWAYS[: ALWAYS.index(name)]:
                made.execute(before)
            made.run.store.disk = made.run.store.generations.disk = disk

            def attempt(made: StageByStage = made, disk: Failing = disk, at: int = at, name: str = name) -> None:
                nonlocal succeeded
                try:
                    record = made.execute(name)
                except (OSError, GenrecError):
                    assert disk.calls > at, "another error"
                else:
                    succeeded = True
                    assert disk.calls <= at, "the error was swallowed"
                    assert record["digest"] == reference[name], "another result than on a disk that works"
                found = whole_artifacts(root)
                gone = [s for s in ALWAYS[: ALWAYS.index(name)] if made.run.artifacts[s].key not in found]
                assert not gone, f"gone: {gone}"
                assert list((root / "tmp").iterdir()) == [], "tmp is not reclaimed"
                assert list((root / "corrupt").iterdir()) == [], "something partial was visible"

            _noted(note, f"{name}, call {at}, {kind}", attempt)
            at += 1
            if name != ALWAYS[0] and at > 60:
                raise AssertionError("it does not end")


def failing_calls_of_stages(folder: Path, kinds: tuple[str, ...] = KINDS) -> Count:
    """Every disk call of every stage's commit failing in turn, until the stage succeeds."""
    count = Count(3, "every disk call of each stage of a whole run failing: ENOSPC, EIO, short writes")
    counted(count, folder / "store", _fail_every_call, digests(finished(folder / "reference")), list(kinds))
    return count
