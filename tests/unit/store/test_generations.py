"""A refresh writes beside what is there and switches at once; the old one stays for those who read it or name it."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from genrec.store import local
from genrec.store.local import Disk, Store

KEY = "sid-1"
COMMIT = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 1.0}


def _put(store: Store, content: str, replace: bool = False):
    with store.scratch() as out:
        (out / "a.txt").write_text(content)
        (out / "b.txt").write_text(content)
        return store.commit(KEY, "sid", out, **COMMIT, replace=replace)


def _text(artifact) -> str:
    texts = {(artifact.path / name).read_text() for name in ("a.txt", "b.txt")}
    assert len(texts) == 1
    return texts.pop()


def _reported(store: Store, run: str, *artifacts) -> None:
    stages = [{"name": "sid", "key": a.key, "digest": a.digest} for a in artifacts]
    (store.run_path(run) / "report.json").write_text(json.dumps({"stages": stages}))


def test_the_first_generation_keeps_its_plain_path_and_a_refresh_is_what_everyone_finds_next(tmp_path):
    store = Store(tmp_path)
    assert _put(store, "old").path == tmp_path / "objects" / KEY == store.object_path(KEY)
    assert _text(_put(store, "new", replace=True)) == "new"
    assert _text(Store(tmp_path).lookup(KEY)) == "new"
    assert _text(_put(store, "too late")) == "new"
    assert _text(_put(store, "newest", replace=True)) == "newest"
    assert store.object_path(KEY) == Store(tmp_path).lookup(KEY).path


def test_a_reader_in_the_middle_of_the_old_one_finishes_during_a_refresh(tmp_path):
    writer, reader = Store(tmp_path), Store(tmp_path)
    _put(writer, "old")
    reading = reader.lookup(KEY)
    assert (reading.path / "a.txt").read_text() == "old"
    _put(writer, "new", replace=True)
    writer.release()
    assert writer.remove_old_generations() == 0
    assert (reading.path / "b.txt").read_text() == "old"
    reader.release()
    assert writer.remove_old_generations() == 1
    assert not reading.path.exists()
    assert _text(writer.lookup(KEY)) == "new"


_READER = """
import sys
from pathlib import Path
from genrec.store.local import Store
store = Store(Path(sys.argv[1]))
print(store.lookup("sid-1").path, flush=True)
sys.stdin.read()
"""


def test_a_reader_in_another_process_keeps_the_old_one_until_it_ends_even_when_killed(tmp_path):
    store = Store(tmp_path)
    _put(store, "old")
    store.release()
    command = [sys.executable, "-c", _READER, str(tmp_path)]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout.readline().strip() == str(tmp_path / "objects" / KEY)
    _put(store, "new", replace=True)
    assert store.remove_old_generations() == 0
    os.kill(reader.pid, signal.SIGKILL)
    reader.communicate()
    assert store.remove_old_generations() == 1
    assert _text(store.lookup(KEY)) == "new"


def test_what_the_report_of_a_run_names_stays_and_is_found_by_its_digest(tmp_path):
    store = Store(tmp_path)
    old, middle, new = (_put(store, text, replace=True) for text in ("old", "middle", "new"))
    store.release()
    _reported(store, "r1", old)
    _reported(store, "r2", new)
    assert store.remove_old_generations() == 1
    assert _text(store.lookup(KEY, old.digest)) == "old"
    assert store.lookup(KEY, middle.digest) is None
    assert _text(store.lookup(KEY)) == "new"
    store.release()
    (tmp_path / "runs" / "r1" / "report.json").unlink()
    assert store.remove_old_generations() == 1
    assert store.lookup(KEY, old.digest) is None


def test_a_model_in_service_whose_run_has_no_report_any_more_keeps_all_generations(tmp_path):
    store = Store(tmp_path)
    old = _put(store, "old")
    _put(store, "new", replace=True)
    store.release()
    record = {"run_id": "r1", "keys": {"sid": KEY}}
    store.write_document("service/shop/000001.json", json.dumps(record))
    assert store.remove_old_generations() == 0
    _reported(store, "r1", store.lookup(KEY))
    store.write_document("service/shop/000002.json", "[]")  # damaged: it may name anything
    assert store.remove_old_generations() == 0
    (tmp_path / "service" / "shop" / "000002.json").unlink()
    assert store.remove_old_generations() == 1
    assert store.lookup(KEY, old.digest) is None


def test_after_the_first_one_was_removed_a_refresh_still_replaces_the_current_one(tmp_path):
    store = Store(tmp_path)
    for text in ("one", "two", "three"):
        _put(store, text, replace=True)
        store.release()
        store.remove_old_generations()
        assert _text(store.lookup(KEY)) == text


def test_a_corrupt_new_one_is_set_aside_and_computed_again_not_replaced_by_the_old_one(tmp_path):
    store = Store(tmp_path)
    _put(store, "old")
    (_put(store, "new", replace=True).path / "a.txt").write_text("damaged")
    assert store.lookup(KEY) is None
    assert _text(_put(store, "again")) == "again"
    assert _text(store.lookup(KEY)) == "again"


def test_two_processes_that_find_the_same_corrupt_one_set_it_aside_once(tmp_path, monkeypatch):
    store, other = Store(tmp_path), Store(tmp_path)
    (_put(store, "damaged").path / "a.txt").write_text("other bytes")

    def mismatch(path, manifest, real=local.mismatch):
        problem = real(path, manifest)
        monkeypatch.setattr(local, "mismatch", real)
        assert other.lookup(KEY) is None  # it is faster
        return problem

    monkeypatch.setattr(local, "mismatch", mismatch)
    assert store.lookup(KEY) is None
    assert len(list((tmp_path / "corrupt").iterdir())) == 1


_KILLED = """
import os, signal, sys
from pathlib import Path
from genrec.store import local
from genrec.store.local import Disk, Store
class Killing(Disk):
    n = 0
    def _die(self):
        if Killing.n == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)
        Killing.n += 1
    def write(self, p, d): self._die(); super().write(p, d); self._die()
    def fsync(self, p): super().fsync(p); self._die()
    def rename(self, a, b): self._die(); super().rename(a, b); self._die()
store = Store(Path(sys.argv[1]), Killing())
with store.scratch() as out:
    for name in ("a.txt", "b.txt"): (out / name).write_text("new")
    store.commit("sid-1", "sid", out, version=1, config_slice={}, inputs={}, summary={}, seconds=1, replace=True)
"""


def test_a_process_killed_anywhere_in_a_refresh_leaves_the_old_one_or_the_new_one(tmp_path):
    outcomes = set()
    for at in range(0, 20):
        root = tmp_path / str(at)
        _put(Store(root), "old")
        done = subprocess.run([sys.executable, "-c", _KILLED, str(root), str(at)], check=False)
        store = Store(root)
        outcomes.add((done.returncode, _text(store.lookup(KEY))))
        store.remove_leftovers()
        store.release()
        store.remove_old_generations()
        assert len(store.generations.of(KEY)) == 1
        assert _text(store.lookup(KEY)) == (
            "new" if (tmp_path / str(at) / "generations" / KEY / "current").exists() else "old"
        )
        assert list((root / "corrupt").iterdir()) == list((root / "tmp").iterdir()) == []
    assert outcomes == {(-signal.SIGKILL, "old"), (-signal.SIGKILL, "new"), (0, "new")}


@pytest.mark.parametrize("fail_at", range(16))
def test_a_disk_that_fails_anywhere_in_a_refresh_leaves_the_old_one_or_the_new_one(tmp_path, fail_at):
    class Failing(Disk):
        calls = 0

        def _count(self) -> None:
            Failing.calls += 1
            if Failing.calls > fail_at:
                raise OSError(28, os.strerror(28))

        def write(self, path, data):
            self._count()
            super().write(path, data)

        def fsync(self, path):
            self._count()
            super().fsync(path)

        def rename(self, source, target):
            self._count()
            super().rename(source, target)

    _put(Store(tmp_path), "old")
    try:
        _put(Store(tmp_path, Failing()), "new", replace=True)
    except OSError:
        expected = {"old", "new"}
    else:
        expected = {"new"}
    assert _text(Store(tmp_path).lookup(KEY)) in expected
    assert list((tmp_path / "corrupt").iterdir()) == list((tmp_path / "tmp").iterdir()) == []


def test_a_process_that_reads_many_artifacts_holds_few_files_and_still_keeps_each_of_them(tmp_path):
    reader, writer = Store(tmp_path), Store(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for n in range(100):
        with writer.scratch() as out:
            (out / "a.txt").write_text("old")
            writer.commit(f"sid-{n}", "sid", out, **COMMIT)
        writer.release()
        reader.lookup(f"sid-{n}")
    assert len(os.listdir("/proc/self/fd")) - before <= 32
    with writer.scratch() as out:
        (out / "a.txt").write_text("new")
        writer.commit("sid-99", "sid", out, **COMMIT, replace=True)
    writer.release()
    assert writer.remove_old_generations() == 0
    reader.release()
    assert len(os.listdir("/proc/self/fd")) == before
    assert writer.remove_old_generations() == 1


def test_a_run_that_reports_and_ends_while_the_records_are_read_keeps_what_it_names(tmp_path, monkeypatch):
    reader, writer = Store(tmp_path), Store(tmp_path)
    old = _put(writer, "old")
    reader.lookup(KEY)
    _put(writer, "new", replace=True)
    writer.release()
    real = writer._is_named

    def named():
        is_named = real()  # the records of the moment before the run reports
        _reported(reader, "r1", old)
        reader.release()
        return is_named

    monkeypatch.setattr(writer, "_is_named", named)
    assert writer.remove_old_generations() == 0
    assert _text(writer.lookup(KEY, old.digest)) == "old"


def test_every_lock_is_one_that_nfs_gives(tmp_path, monkeypatch):
    """NFS locks a file for many only where it is open for reading, and for one where it is open for writing."""
    asked = []

    def flock(file, operation, real=fcntl.flock):
        mode = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
        asked.append(operation & ~fcntl.LOCK_NB)
        if mode == (os.O_WRONLY if operation & fcntl.LOCK_SH else os.O_RDONLY):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    store = Store(tmp_path)
    with store.lock(KEY):
        _put(store, "old")
    _put(store, "new", replace=True)
    with store.scratch():
        assert store.remove_leftovers() == 0
    store.release()
    assert store.remove_old_generations() == 1
    assert set(asked) == {fcntl.LOCK_SH, fcntl.LOCK_EX}
