"""Processes that want the same at the same time: one of them computes it, also where that one is killed."""

import os
import signal
from pathlib import Path

from genrec.store.local import Store
from tests.support.promises.count import Count
from tests.support.promises.whole_run import Note, Started, acknowledged, assert_nothing_is_left, run_stages
from tests.support.stages import ALWAYS


def _want(root: Path, note: Note, rounds: int, killed: list[int]) -> None:
    store = Store(root)
    for number in range(rounds):
        key = f"sid-{number}"
        with store.lock(key):
            if store.lookup(key) is not None:
                note([key, "found"])
                continue
            mark = root.parent / f"{key}.killed"
            with store.scratch() as out:
                (out / "a.bin").write_bytes(bytes(1000))
                if number in killed and not mark.exists():
                    mark.touch()
                    note([key, "killed"])
                    os.kill(os.getpid(), signal.SIGKILL)
                store.commit(key, "sid", out, version=1, config_slice={}, inputs={}, summary={}, seconds=1)
            note([key, "computed"])


def one_computation(folder: Path, processes: int, rounds: int) -> Count:
    """`processes` that want `rounds` keys in the same order; in every second round the first holder is killed."""
    count = Count(5, f"{processes} processes at once for one key, {rounds} rounds, every second with the holder killed")
    root, killed = folder / "store", list(range(1, rounds, 2))
    started = [Started(root, _want, rounds, killed) for _ in range(processes)]
    ended: list[Started] = []
    while started:  # one that was killed is replaced, so that as many go on
        process = started.pop(0).wait()
        ended.append(process)
        if process.code == -signal.SIGKILL:
            started.append(Started(root, _want, rounds, killed))
    notes = [tuple(note) for process in ended for note in process.notes]
    Store(root).remove_leftovers()
    for number in range(rounds):
        key = f"sid-{number}"
        seen = [what for k, what in notes if k == key]
        with count.attempt(f"round {number}", tries=processes):
            assert seen.count("computed") == 1, f"computed {seen.count('computed')} times"
            assert seen.count("killed") == (number in killed), f"killed {seen.count('killed')} times"
            assert seen.count("found") >= processes - 1, f"found by {seen.count('found')}"
            assert Store(root).lookup(key) is not None
    with count.attempt("at the end", tries=0):
        assert {p.code for p in ended} <= {0, -signal.SIGKILL}, [p.notes[-1:] for p in ended]
        assert_nothing_is_left(root)
    return count


def fired_twice(folder: Path, runs: int) -> Count:
    """A whole run started `runs` times at once on a fresh store, then as often one after the other."""
    count = Count(10, f"the same whole run, {runs} at once and {runs} in turn")
    root = folder / "store"
    at_once = [Started(root, run_stages) for _ in range(runs)]
    ended = [process.wait(1200) for process in at_once]
    ended += [Started(root, run_stages).wait() for _ in range(runs)]
    records = [acknowledged(process) for process in ended]
    computed = {name: [r[name]["status"] for r in records if name in r].count("computed") for name in ALWAYS}
    for number, (process, found) in enumerate(zip(ended, records, strict=True)):
        with count.attempt(f"run {number}"):
            assert process.code == 0, process.notes[-1:]
            assert {n: r["digest"] for n, r in found.items()} == {n: r["digest"] for n, r in records[0].items()}
            if number >= runs:
                assert {r["status"] for r in found.values()} == {"cached"}
    with count.attempt("all runs", tries=0):
        assert computed == dict.fromkeys(ALWAYS, 1), f"computed {computed}"
        assert_nothing_is_left(root)
    return count
