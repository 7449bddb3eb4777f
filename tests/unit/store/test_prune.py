"""Prune removes what nothing needs, and never what a report, a model in service or a live process names."""

import dataclasses
import json
import os
import random
import time

import pytest

from genrec.in_service.registry import Registry
from genrec.store.local import Store, make_key
from genrec.store.prune import disk_use, removable, remove, running

DAY = 24 * 3600
TRAINED = make_key("sft", 1, {}, {})
COMMIT = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 1.0}


def _put(store, number, content="old"):
    key = make_key("sid", number, {}, {})
    with store.scratch() as out:
        (out / "a.txt").write_text(content)
        artifact = store.commit(key, "sid", out, **COMMIT, replace=True)
    store.release()
    return artifact


def _report(store, run, *artifacts):
    stages = [{"name": "sid", "key": a.key, "digest": a.digest} for a in artifacts]
    (store.run_path(run) / "report.json").write_text(json.dumps({"stages": stages}))


def _failed(store, run):
    """The folder of a run that began and ended without a report."""
    with running(store.root, run):
        return store.run_path(run)


def _aged(store, days=10):
    """Everything in the store as if it had been written some days ago."""
    for path in sorted(store.root.rglob("*"), reverse=True):
        os.utime(path, (time.time() - days * DAY,) * 2, follow_symlinks=False)


def _kinds(items):
    return sorted((item.kind, item.path.name) for item in items)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def _prune(store, keep_days=7.0):
    return remove(Store(store.root), removable(Store(store.root), keep_days))


def test_everything_that_nothing_needs_is_found_and_removed_with_its_size(store):
    artifact, replaced = _put(store, 1), _put(store, 2, "first")
    newer = _put(store, 2, "second")
    _report(store, "done", newer)
    (_failed(store, "failed") / "log.txt").write_text("12345")
    store.run_path("20261127-131242-claimed")  # stopped before it began: empty, and it never had a lock
    (store.work_path(TRAINED) / "checkpoint").write_text("1234567")
    (store.root / "corrupt" / f"{TRAINED}-01234567").mkdir()
    _aged(store)
    found = removable(store, 7)
    expected = [
        ("artifact", artifact.key),
        ("checkpoints", TRAINED),
        ("corrupt entry", f"{TRAINED}-01234567"),
        ("failed run", "20261127-131242-claimed"),
        ("failed run", "failed"),
        ("old generation", replaced.key),
    ]
    assert _kinds(found) == expected
    assert {i.kind: i.bytes for i in found}["failed run"] == 5
    assert {i.kind: i.bytes for i in found}["checkpoints"] == 7
    assert all(item.path.exists() for item in found)
    assert _kinds(remove(store, found)) == expected
    assert not any(item.path.exists() for item in found)
    assert removable(store, 0) == []
    assert store.lookup(newer.key) == newer
    assert store.lookup(artifact.key) is None
    assert _put(store, 1).path == artifact.path  # the key can be computed again, in its plain place


def test_folders_of_something_else_stay_however_old_they_are(tmp_path):
    theirs = [
        "runs/tensorboard1/events",
        "runs/20261127-131242-sweep/events",
        "work/thesis/ch1.tex",
        "corrupt/scans/a.png",
        "objects/models/m.bin",
        "generations/photos/first/a.jpg",
        "tmp/keepme/data.csv",
    ]
    for name in theirs:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
    store = Store(tmp_path)
    _aged(store, days=400)
    assert removable(store, 7) == []
    assert _prune(store, 0) == []
    assert store.remove_leftovers() == 0
    assert store.remove_old_generations() == 0
    assert {(tmp_path / name).read_text() for name in theirs} == {"mine"}


def test_the_newest_recommendations_stay_and_those_before_them_go(store):
    before, newest = _put(store, 1), _put(store, 2)
    for made in (before, newest):
        store.write_document("recommendations/shop/latest.json", json.dumps({"key": made.key}))
    _aged(store)
    assert _kinds(removable(store, 7)) == [("artifact", before.key)]
    _prune(store)
    assert store.lookup(newest.key) == newest


def test_what_is_younger_stays(store):
    _put(store, 1)
    _failed(store, "failed")
    store.work_path(TRAINED)
    _aged(store, days=6)
    assert removable(store, 7) == []
    assert len(removable(store, 5)) == 3


@pytest.mark.parametrize("seed", range(12))
def test_what_a_report_a_record_or_a_live_process_names_is_there_afterwards(store, seed):
    """Random stores: whatever is named or in use is found, whole, with the same bytes, after everything was pruned."""
    draw = random.Random(seed)
    artifacts = [_put(store, n) for n in range(8)]
    for n in draw.sample(range(8), 3):
        artifacts.append(_put(store, n, "new"))
    for run in range(2):
        _report(store, f"run-{run}", *draw.sample(artifacts, 2))
    current = [store.lookup(a.key) for a in artifacts[:8]]
    store.release()
    served = draw.choice(current)
    Registry(store, "shop").promote("run-gone", {"sid": served.key}, "by hand")
    store.release()
    named = [
        (stage["key"], stage["digest"])
        for run in range(2)
        for stage in json.loads((store.root / f"runs/run-{run}/report.json").read_text())["stages"]
    ]
    replaced_and_unnamed = {a.key for a in artifacts} - {key for key, _ in named} - {served.key}
    reader, computing = Store(store.root), draw.choice(sorted(replaced_and_unnamed))
    read = reader.lookup(draw.choice(current).key)
    (store.work_path(computing) / "checkpoint").write_text("x")
    store.run_path("live"), _failed(store, "failed")
    _aged(store)
    with store.lock(computing), running(store.root, "live"):
        listed = {(i.key, store.generations.digest(i.key, i.path.name)) for i in removable(store, 0)}
        assert not listed & set(named)
        _prune(store, 0)
        assert store.object_path(computing).is_dir()
        assert (store.root / "work" / computing / "checkpoint").exists()
        assert (store.root / "runs" / "live").is_dir()
    assert not (store.root / "runs" / "failed").exists()
    assert (read.path / "a.txt").read_text() in ("old", "new")
    assert Store(store.root).lookup(read.key) == read
    after = Store(store.root)
    assert after.lookup(served.key) == served
    for key, digest in named:
        found = after.lookup(key, digest)
        assert found is not None
        assert found.digest == digest
        assert after.lookup(key) is not None
    after.release()
    reader.release()
    kept = {key for key, _ in named} | {served.key}
    _aged(store)
    _prune(store, 0)
    assert {p.name for p in (store.root / "objects").iterdir()} | {
        p.name for p in (store.root / "generations").iterdir()
    } == kept


def test_a_replaced_generation_that_was_read_until_later_leaves_nothing_behind(store):
    old, reader = _put(store, 1, "old"), Store(store.root)
    assert reader.lookup(old.key) == old
    current = _put(store, 1, "new")
    reader.lookup(old.key, old.digest)
    while current.path.exists():  # a new name each time: now and then it shares its read lock with the old one's
        _prune(store, 0)
        if current.path.exists():
            current = _put(store, 1, f"again-{time.monotonic_ns()}")
    assert old.path.exists()
    reader.release()
    _prune(store, 0)
    assert not list((store.root / "generations").iterdir())
    assert not list((store.root / "objects").iterdir())


def test_a_report_that_was_written_after_the_listing_saves_its_artifacts(store):
    artifact = _put(store, 1)
    _failed(store, "late")
    items = removable(store, 0)
    assert len(items) == 2
    _report(store, "late", artifact)
    assert remove(store, items) == []
    assert Store(store.root).lookup(artifact.key) == artifact


def test_the_current_artifact_of_a_key_stays_where_a_later_report_names_an_older_one(store):
    old = _put(store, 1, "old")
    current = _put(store, 1, "new")
    items = removable(store, 0)
    assert _kinds(items) == sorted([("artifact", current.path.name), ("old generation", old.key)])
    _report(store, "late", old)
    assert remove(store, items) == []
    after = Store(store.root)
    assert after.lookup(old.key) == current
    assert after.lookup(old.key, old.digest) == old


def test_a_damaged_record_of_a_model_in_service_may_name_anything(store):
    _put(store, 1)
    store.write_document("service/shop/000001.json", "{")
    assert removable(store, 0) == []


def test_the_latest_run_and_a_comparison_stay(store):
    _report(store, "done")
    store.set_latest_run("done")
    (store.run_path("compared") / "comparison.json").write_text("{}")
    assert removable(store, 0) == []


def test_a_prune_that_was_cut_off_leaves_a_store_that_computes_again(store, monkeypatch):
    artifact = _put(store, 1)
    monkeypatch.setattr(Store, "remove_old_generations", lambda self: (_ for _ in ()).throw(OSError("cut off")))
    with pytest.raises(OSError, match="cut off"):
        remove(store, removable(store, 0))
    monkeypatch.undo()
    assert Store(store.root).lookup(artifact.key) == artifact
    store.generations.retire(artifact.key)  # killed here: nothing settles it
    assert store.lookup(artifact.key) is None
    again = _put(store, 1)
    assert dataclasses.replace(again, path=artifact.path) == artifact


def test_disk_use_is_that_of_the_files_by_folder(store):
    (store.run_path("a") / "f").write_bytes(b"x" * 1000)
    store.set_latest_run("a")
    sizes = disk_use(store.root)
    assert next(iter(sizes)) == "runs"
    assert 1000 <= sizes["runs"] < 1100
    assert sizes["objects"] == 0
