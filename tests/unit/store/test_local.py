"""The store's promises: complete or absent, verified before reuse, one computation a key."""

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import GenrecError
from genrec.store.local import MANIFEST, Store, make_key
from tests.support.promises import disk_faults

COMMIT = {"version": 1, "config_slice": {"a": 1}, "inputs": {}, "summary": {"rows": 2}, "seconds": 0.5}


def _put(store: Store, key: str, content: bytes = b"data", **changes):
    with store.scratch() as out:
        (out / "a.parquet").write_bytes(content)
        (out / "sub").mkdir()
        (out / "sub" / "b.json").write_text("{}")
        return store.commit(key, key.partition("-")[0], out, **{**COMMIT, **changes})


def test_what_was_committed_is_found_with_its_summary(tmp_path):
    store = Store(tmp_path)
    put = _put(store, "sid-1")
    found = Store(tmp_path).lookup("sid-1")
    assert found == put
    assert found.summary == {"rows": 2}
    assert (found.path / "a.parquet").read_bytes() == b"data"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_key_that_was_never_committed_is_absent(tmp_path):
    assert Store(tmp_path).lookup("sid-1") is None


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["truncate", "flip", "delete", "empty", "add", "manifest"]), where=st.integers(0, 10**6))
def test_a_corrupt_entry_is_never_served(tmp_path_factory, kind, where):
    store = Store(tmp_path_factory.mktemp("store"))
    path = _put(store, "sid-1", content=bytes(range(256))).path
    target = path / ("a.parquet" if kind != "manifest" else MANIFEST)
    data = target.read_bytes()
    at = where % len(data)
    if kind == "truncate":
        target.write_bytes(data[:at])
    elif kind in ("flip", "manifest"):
        target.write_bytes(data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :])
    elif kind == "delete":
        target.unlink()
    elif kind == "empty":
        target.write_bytes(b"")
    else:
        (path / "extra").write_bytes(b"x")
    found = store.lookup("sid-1")
    if kind == "manifest":  # a flip in free text (a summary, a date) is harmless; the files themselves must be right
        assert found is None or (found.path / "a.parquet").read_bytes() == bytes(range(256))
    else:
        assert found is None
        assert not path.exists()
        assert len(list((store.root / "corrupt").iterdir())) == 1
        assert _put(store, "sid-1").key == "sid-1"


def test_a_disk_that_fails_at_any_call_leaves_no_partial_entry_and_the_old_ones_whole(tmp_path):
    disk_faults.failing_calls(tmp_path).check()


def test_what_was_acknowledged_outlives_a_loss_of_power_and_nothing_partial_is_seen(tmp_path):
    disk_faults.power_losses(tmp_path, 15).check()


def test_the_simulated_disk_loses_what_was_not_synced(tmp_path):
    class Hasty(disk_faults.LosingPower):
        def fsync(self, path):
            pass

    def survives(seed):
        root = tmp_path / str(seed)
        root.mkdir()
        disk = Hasty(root, 100)
        disk.write(root / "partial", b"text")
        disk.rename(root / "partial", root / "document")
        disk.fsync(root)
        disk.lose(random.Random(seed))
        return (root / "document").exists() and (root / "document").read_bytes() == b"text"

    assert {survives(seed) for seed in range(40)} == {True, False}


_KILLED = """
import os, signal, sys
from pathlib import Path
from genrec.store.local import Disk, Store
at = int(sys.argv[2])
class Killing(Disk):
    n = 0
    def _die(self):
        if Killing.n == at: os.kill(os.getpid(), signal.SIGKILL)
        Killing.n += 1
    def write(self, p, d): self._die(); super().write(p, d); self._die()
    def fsync(self, p): super().fsync(p); self._die()
    def rename(self, a, b): self._die(); super().rename(a, b); self._die()
store = Store(Path(sys.argv[1]), Killing())
with store.scratch() as out:
    for i in range(3): (out / f"{i}.bin").write_bytes(os.urandom(1000))
    store.commit("sft-1", "sft", out, version=1, config_slice={}, inputs={}, summary={}, seconds=1)
"""


def test_a_process_killed_anywhere_in_a_commit_leaves_a_whole_entry_or_none(tmp_path):
    outcomes = set()
    for at in range(8, 22):
        root = tmp_path / str(at)
        done = subprocess.run([sys.executable, "-c", _KILLED, str(root), str(at)], check=False)
        store = Store(root)
        whole = store.lookup("sft-1") is not None
        assert list((root / "corrupt").iterdir()) == []
        outcomes.add((done.returncode, whole))
        store.remove_leftovers()
        assert list((root / "tmp").iterdir()) == []
    assert (-signal.SIGKILL, False) in outcomes
    assert (-signal.SIGKILL, True) in outcomes
    assert (0, True) in outcomes


def _compute_once(root: str, keys: list[str]) -> None:
    store = Store(Path(root))
    for key in keys:
        with store.lock(key):
            if store.lookup(key) is None:
                with open(Path(root) / "computed.log", "a") as log:
                    log.write(key + "\n")
                time.sleep(0.02)
                _put(store, key)


def test_processes_that_want_one_key_compute_it_once(tmp_path):
    keys = [f"sid-{i}" for i in range(10)]
    context = multiprocessing.get_context(
        "spawn"
    )  # the test process may hold Ray's threads, which do not survive a fork
    workers = [context.Process(target=_compute_once, args=(str(tmp_path), keys)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sorted((tmp_path / "computed.log").read_text().split()) == sorted(keys)


def test_the_first_writer_wins_and_replace_overrules(tmp_path):
    store = Store(tmp_path)
    _put(store, "sid-1", b"first")
    _put(store, "sid-1", b"second")
    assert (store.lookup("sid-1").path / "a.parquet").read_bytes() == b"first"
    _put(store, "sid-1", b"third", replace=True)
    assert (store.lookup("sid-1").path / "a.parquet").read_bytes() == b"third"


def test_the_work_folder_survives_until_its_key_is_committed(tmp_path):
    store = Store(tmp_path)
    (store.work_path("sft-1") / "checkpoint").write_text("x")
    assert (Store(tmp_path).work_path("sft-1") / "checkpoint").exists()
    _put(store, "sft-1")
    assert not (tmp_path / "work" / "sft-1").exists()


def test_keys_depend_on_every_part_and_on_no_order():
    base = make_key("sid", 1, {"a": 1, "b": {"c": 2}}, {"x": "k1", "y": "k2"})
    assert base == make_key("sid", 1, {"b": {"c": 2}, "a": 1}, {"y": "k2", "x": "k1"})
    others = [
        make_key("sft", 1, {"a": 1, "b": {"c": 2}}, {"x": "k1", "y": "k2"}),
        make_key("sid", 2, {"a": 1, "b": {"c": 2}}, {"x": "k1", "y": "k2"}),
        make_key("sid", 1, {"a": 1, "b": {"c": 3}}, {"x": "k1", "y": "k2"}),
        make_key("sid", 1, {"a": 1, "b": {"c": 2}}, {"x": "k1", "y": "k3"}),
    ]
    assert len({base, *others}) == 5


def test_a_stage_that_wrote_nothing_is_refused(tmp_path):
    store = Store(tmp_path)
    with store.scratch() as out, pytest.raises(GenrecError, match="wrote no file"):
        store.commit("sid-1", "sid", out, **COMMIT)


def test_latest_points_to_the_newest_run(tmp_path):
    store = Store(tmp_path)
    for run in ("a", "b"):
        (store.run_path(run) / "report.json").write_text(json.dumps(run))
        store.set_latest_run(run)
    assert json.loads((tmp_path / "runs" / "latest" / "report.json").read_text()) == "b"


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(GenrecError, match="cannot be written"):
        Store(tmp_path / "file")


def test_who_waits_for_a_key_may_give_up_and_it_is_held_by_the_other_alone(tmp_path):
    store, told = Store(tmp_path), []

    def enough() -> None:
        raise TimeoutError

    with store.lock("sid-1"):
        with pytest.raises(TimeoutError), store.lock("sid-1", lambda: told.append("waits"), enough):
            pytest.fail("two hold it")
        assert told == ["waits"]
    with store.lock("sid-1", while_waiting=enough):
        pass
