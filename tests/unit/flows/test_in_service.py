"""The commands about the model in service."""

import json
from contextlib import chdir

import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from genrec.in_service.registry import Registry
from genrec.store.local import make_key
from genrec.store.remote import STAGING, open_store
from tasks.run import STAGES


def _put(store, key, stage, content):
    """Make, or replace, an artifact of one small file; its key."""
    more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0, "replace": True}
    with store.scratch() as folder:
        (folder / "f.txt").write_text(content)
        return store.commit(key, stage, folder, **more).key


@pytest.fixture
def store(tmp_path):
    """A store with two finished runs of a shop and one that stopped early."""
    _fill(open_store(str(tmp_path)))
    return tmp_path


def _fill(store):
    """Runs with artifacts of one small file each."""
    for run, stages in (("run-a", STAGES), ("run-b", STAGES), ("run-short", STAGES[:3])):
        records = []
        for stage in stages:
            key = _put(store, f"{stage}-{run}", stage, run)
            records.append({"name": stage, "key": key, "digest": store.lookup(key).digest})
        report = {"run_id": run, "name": "shop", "stages": records}
        (store.run_path(run) / "report.json").write_text(json.dumps(report))
        store.finish_run(run)


def _command(store, *arguments, code=0):
    done = CliRunner().invoke(app, [*arguments, "--store", str(store)])
    assert done.exit_code == code, done.output
    return done.output


def test_a_first_promotion_that_was_cut_off_put_nothing_in_service(store):
    (store / "service" / "shop").mkdir(parents=True)
    assert "nothing in service yet" in _command(store, "current")
    assert "no model is in service" in _command(store, "rollback", code=1)
    assert "run-a is in service (change 1)" in _command(store, "promote", "run-a")


def test_promote_show_and_go_back(store):
    assert "shop: run-a is in service (change 1)" in _command(store, "promote", "run-a")
    _command(store, "promote", "run-b")
    shown = _command(store, "current")
    assert "shop: run-b is in service (change 2)" in shown
    assert f"its files, in {store}:" in shown
    assert " rl   objects/rl-run-b\n" in shown
    assert "shop: run-a is in service again (change 3)" in _command(store, "rollback")
    assert "run-a is in service (change 3)" in _command(store, "current", "shop")
    assert "run-b is in service again (change 4)" in _command(store, "rollback", "shop", "--to", "2")


def test_a_run_of_another_machine_is_promoted_from_the_store_that_they_share(tmp_path, monkeypatch):
    url = "memory://run-of-another-machine"
    for machine in ("one", "two"):
        monkeypatch.setenv(STAGING, str(tmp_path / machine))
        if machine == "one":
            _fill(open_store(url))
    assert "shop: run-a is in service (change 1)" in _command(url, "promote", "run-a")
    assert "no report there" in _command(url, "promote", "run-c", code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rollback"], "no model is in service; run with --set service.promote=if_not_worse"),
        (["promote", "nowhere"], "no report there; finished runs, newest first: "),
        (["promote", "run-short"], "stopped before the evaluation"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(store, arguments, message):
    output = _command(store, *arguments, code=1)
    assert message in output
    assert "Traceback" not in output


def test_a_store_without_a_model_in_service_is_no_error(store):
    for place in (store, store / "not" / "made"):
        assert "nothing in service yet" in _command(place, "current")
    assert not (store / "not").exists()


def test_a_wrong_run_name_is_answered_with_the_finished_runs(store):
    output = _command(store, "promote", "nosuch", code=1)
    assert all(run in output for run in ("run-a", "run-b", "run-short"))


def test_the_model_in_service_reads_at_80_columns(store):
    registry = Registry(open_store(str(store)), "shop")
    keys = {stage: make_key(stage, 1, {}, {}) for stage in STAGES}
    for stage, key in keys.items():
        for content in ("old", "new"):  # replaced by a refresh, so that its path is the longest there is
            _put(registry.store, key, stage, content)
    run = "20261126-140112-" + "n" * 40
    for n in range(3):
        registry.promote(
            run, keys, f"NDCG@10 is ahead by 0.0123 (95% interval from 0.0001 to 0.0245) on {n} rows, no less"
        )
    with chdir(store.parent):
        shown = CliRunner().invoke(app, ["current", "--store", store.name], env={"COLUMNS": "80"}).output
    lines = [line for line in shown.splitlines() if str(store) not in line]
    assert max(map(len, lines)) <= 80
    assert shown.count(run) == 4
    assert "…" not in shown


def test_of_several_names_one_has_to_be_given(store):
    _command(store, "promote", "run-a")
    report = json.loads((store / "runs" / "run-b" / "report.json").read_text())
    (store / "runs" / "run-b" / "report.json").write_text(json.dumps({**report, "name": "other"}))
    _command(store, "promote", "run-b")
    assert "several models are in service: other, shop; name one" in _command(store, "current", code=1)
    assert "there are other, shop" in _command(store, "rollback", "x", code=1)
