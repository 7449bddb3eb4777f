"""The command `prune`: it lists, and removes only when told to."""

import json
import os

import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from genrec.store.local import Store
from genrec.store.prune import running


@pytest.fixture(autouse=True)
def sessions(tmp_path_factory, monkeypatch):
    """Ray's folder of sessions; not the one of this machine."""
    folder = tmp_path_factory.mktemp("tmp")
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.setattr("tasks.ray.sessions._TEMPORARY", ())
    return folder / "ray"


def _prune(root, *arguments, code=0):
    done = CliRunner().invoke(app, ["prune", "--store", str(root), *arguments], env={"COLUMNS": "80"})
    assert done.exit_code == code, done.output
    return done.output


def _failed(root):
    """The folder of a run that began and ended without a report."""
    with running(Store(root).root, "failed"):
        return Store(root).run_path("failed")


def test_without_yes_it_is_only_listed(tmp_path):
    failed = _failed(tmp_path)
    (failed / "log.txt").write_bytes(b"x" * 2500)
    for path in (failed / "log.txt", failed):
        os.utime(path, (0, 0))
    listed = _prune(tmp_path)
    assert "failed run  runs/failed  2.5 kB" in listed
    assert "to remove: 2.5 kB (2500 bytes): 1 x failed run 2.5 kB" in listed
    assert "reports" in listed
    assert failed.exists()
    assert "removed: 2.5 kB (2500 bytes)" in _prune(tmp_path, "--yes")
    assert not failed.exists()
    assert "to remove: nothing" in _prune(tmp_path)


def test_keep_days_says_what_is_old_enough(tmp_path):
    _failed(tmp_path)
    assert "to remove: nothing" in _prune(tmp_path)
    assert "runs/failed" in _prune(tmp_path, "--keep-days", "0")
    _prune(tmp_path, "--keep-days", "-1", code=2)


def test_sessions_of_ray_that_ended_are_listed_and_removed_with_yes(tmp_path, sessions):
    Store(tmp_path)
    ended = sessions / "session_1"
    ended.mkdir(parents=True)
    (ended / "genrec.json").write_text(json.dumps({"pid": 2**22 + 1, "started_at_unix_s": 1.0}))  # above all pids
    listed = " ".join(_prune(tmp_path, "--keep-days", "0").split())
    assert f"Ray session {ended} 42 B" in listed
    assert "to remove: 42 B (42 bytes): 1 x Ray session 42 B" in listed
    assert ended.exists()
    assert "removed: 42 B" in _prune(tmp_path, "--keep-days", "0", "--yes")
    assert not ended.exists()


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    assert "no such folder" in _prune(tmp_path / "none", code=1)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("address", ["{}", "file://{}"])
def test_a_folder_of_something_else_is_no_store_and_nothing_is_made_or_removed_in_it(tmp_path, address):
    for name in ("runs/tensorboard1", "work/thesis", "objects/models"):
        (tmp_path / name).mkdir(parents=True)
        os.utime(tmp_path / name, (0, 0))
    before = sorted(tmp_path.rglob("*"))
    for command in (["prune", "--yes"], ["recommend"], ["promote", "some-run"]):
        done = CliRunner().invoke(app, [*command, "--store", address.format(tmp_path)])
        assert done.exit_code == 1, done.output
        assert "no store" in " ".join(done.output.split())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_copy_of_a_store_without_its_empty_folders_and_locks_is_one(tmp_path):
    (tmp_path / "objects" / "sid-1").mkdir(parents=True)
    (tmp_path / "objects" / "sid-1" / "manifest.json").write_text("{}")
    (tmp_path / "runs").mkdir()
    assert "to remove: nothing" in _prune(tmp_path)
