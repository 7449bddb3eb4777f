"""The command `prune`: it lists, and removes only when told to."""

import os

from typer.testing import CliRunner

from flows.__main__ import app
from genrec.store.local import Store


def _prune(root, *arguments, code=0):
    done = CliRunner().invoke(app, ["prune", "--store", str(root), *arguments], env={"COLUMNS": "80"})
    assert done.exit_code == code, done.output
    return done.output


def test_without_yes_it_is_only_listed(tmp_path):
    failed = Store(tmp_path).run_path("failed")
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
    Store(tmp_path).run_path("failed")
    assert "to remove: nothing" in _prune(tmp_path)
    assert "runs/failed" in _prune(tmp_path, "--keep-days", "0")
    _prune(tmp_path, "--keep-days", "-1", code=2)


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    assert "no such folder" in _prune(tmp_path / "none", code=1)
    assert not (tmp_path / "none").exists()
