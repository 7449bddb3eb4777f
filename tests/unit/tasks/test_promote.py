"""Promotion: what is said when a part of the model in service is gone, and which model is in service afterwards."""

import typing
from functools import partial
from pathlib import Path

import pytest
from prefect.utilities.annotations import opaque

from genrec.config import Config
from genrec.config.load import load_config
from genrec.in_service.registry import Registry
from genrec.report import words
from genrec.store.local import Artifact, Store
from tasks.ray.watch import Watcher, watching
from tasks.run import STAGES, Run
from tasks.stages import promote as promote_stage
from tasks.stages.promote import artifacts_in_service, promote


class Heard(Watcher):
    """Keeps what was said to a person."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


@pytest.fixture
def store(tmp_path):
    """A store with whole runs `monday` (in service) and `tuesday` of a shop, and `demo` of the synthetic one."""
    store = Store(tmp_path)
    keys = {day: {} for day in ("monday", "tuesday", "demo")}
    for day, of_day in keys.items():
        for stage in STAGES:
            with store.scratch() as folder:
                (folder / "f.txt").write_text(day)
                read = {"source": "synthetic" if day == "demo" else "table"} if stage == "ingest" else {}
                more = {"version": 1, "config_slice": read, "inputs": {}, "summary": {}, "seconds": 0.0}
                of_day[stage] = store.commit(f"{stage}-{day}", stage, folder, **more).key
    Registry(store, "shop").promote("monday", keys["monday"], "")
    return store


def _run(store, *overrides):
    config = load_config([], ["name=shop", *overrides])
    return Run(config, store, "tuesday", artifacts={stage: store.lookup(f"{stage}-tuesday") for stage in STAGES})


def _remove(store, key):
    (store.object_path(key) / "f.txt").write_text("damaged")


def test_the_artifacts_of_the_model_in_service_are_found_by_stage(store):
    run = _run(store)
    found = artifacts_in_service(run, "")
    assert {stage: artifact.key for stage, artifact in found.items()} == {s: f"{s}-monday" for s in STAGES}
    assert run.warnings == []


def test_an_artifact_that_is_gone_is_named_with_what_follows(store):
    _remove(store, "sid-monday")
    run, heard = _run(store), Heard()
    with watching(heard):
        assert artifacts_in_service(run, "This run takes nothing over from it.") == {}
    assert heard.said == run.warnings
    (warning,) = run.warnings
    for part in ("monday", "sid (sid-monday)", "This run takes nothing over from it.", "run monday again"):
        assert part in warning


def test_an_artifact_that_is_not_needed_may_be_gone(store):
    _remove(store, "ingest-monday")
    run = _run(store)
    assert set(artifacts_in_service(run, "", stages=("sid", "rl"))) == {"sid", "rl"}
    assert run.warnings == []


def test_no_model_in_service_is_no_warning(tmp_path):
    run = Run(Config(), Store(tmp_path), "tuesday")
    assert artifacts_in_service(run, "") == {}
    assert run.warnings == []


def _as_it_is(asked, **settings):
    """In place of Prefect's `task`: the function itself, given what Prefect would hand to it; keeps what it returns."""

    def decorate(function):
        def step(*given, wait_for):
            asked["state"] = function(*(g.unwrap() if isinstance(g, opaque) else g for g in given))

        return step

    return decorate


def _decided(monkeypatch, store, run, good_enough=True, valid_rows=5):
    """Promotion with a comparison that comes out as given; returns the rule and the loss that it was asked with."""
    asked = {}
    test = {"new": 0.2, "current": 0.1, "difference": 0.1, "ci": [0.05, 0.15], "rows": 5}
    measured = Artifact("in_service-1", "in_service", Path(), "", {"valid_rows": valid_rows}, 0.0)

    def decide(evaluated, ranks, config, rule, max_loss):
        asked.update(rule=rule, max_loss=max_loss)
        return {**test, "metric": "ndcg@10", "rule": rule, "good_enough": good_enough, "equal_promoted": 0.975,
                "loss_passed": 0.01, "test": test}  # fmt: skip

    monkeypatch.setattr(promote_stage, "in_service", lambda run, **inputs: asked.update(inputs=inputs) or measured)
    monkeypatch.setattr(promote_stage, "decide", decide)
    monkeypatch.setattr(promote_stage, "publish", lambda registry: asked.update(shown=registry.current().run_id))
    monkeypatch.setattr(promote_stage, "task", partial(_as_it_is, asked))
    promote(run)
    return asked


@pytest.mark.parametrize(("good_enough", "stays"), [(True, "tuesday"), (False, "monday")])
def test_the_decision_puts_the_new_model_in_service_or_leaves_the_old_one(monkeypatch, store, good_enough, stays):
    run = _run(store, "service.promote=if_not_worse", "service.max_loss=0.25")
    asked = _decided(monkeypatch, store, run, good_enough)
    assert (asked["rule"], asked["max_loss"]) == ("if_not_worse", 0.25)
    assert {name: artifact.key for name, artifact in asked["inputs"].items()} == {
        **{stage: f"{stage}-tuesday" for stage in ("prepare", "sid", "base", "rl")},
        **{f"current_{stage}": f"{stage}-monday" for stage in ("prepare", "sid", "base", "rl")},
    }
    decision = "promoted" if good_enough else "kept"
    assert (run.promotion["promoted"], run.promotion["decision"]) == (good_enough, decision)
    assert asked["state"].name == decision.capitalize()
    assert asked["state"].message == words.promotion(run.promotion)
    assert asked.get("shown") == ("tuesday" if good_enough else None)
    assert run.promotion["in_service"] == Registry(store, "shop").current().run_id == stays
    assert (run.promotion["new"], run.promotion["current"]) == (0.2, 0.1)


def test_the_rule_is_a_setting(monkeypatch, store):
    run = _run(store, "service.promote=if_better")
    assert _decided(monkeypatch, store, run)["rule"] == "if_better"


def test_without_validation_rows_the_model_in_service_stays(monkeypatch, store):
    run = _run(store, "service.promote=if_not_worse")
    _decided(monkeypatch, store, run, valid_rows=0)
    assert not run.promotion["promoted"]
    assert "no validation row" in run.promotion["why"]


def test_a_model_that_is_not_whole_is_replaced_without_a_comparison_and_the_run_says_so(monkeypatch, store):
    _remove(store, "rl-monday")
    run = _run(store, "service.promote=if_not_worse")
    assert "rule" not in _decided(monkeypatch, store, run)
    assert run.promotion["promoted"]
    assert "promoted without a comparison" in run.warnings[0]


def test_the_same_model_is_not_promoted_again(monkeypatch, store):
    run = _run(store)
    run.artifacts = {stage: store.lookup(f"{stage}-monday") for stage in STAGES}
    assert "rule" not in _decided(monkeypatch, store, run)
    assert (run.promotion["promoted"], run.promotion["why"]) == (False, "this model is in service already")


@pytest.mark.parametrize("name", ["shop", "demo"])
def test_the_demo_does_not_go_into_service_in_a_store_that_serves_other_data(monkeypatch, store, name):
    run = _run(store, f"name={name}", "service.promote=if_not_worse")
    run.run_id, run.artifacts = "demo", {stage: store.lookup(f"{stage}-demo") for stage in STAGES}
    asked = _decided(monkeypatch, store, run)
    assert "rule" not in asked, "compared for nothing"
    assert (run.promotion["promoted"], run.promotion["decision"]) == (False, "refused")
    assert asked["state"].name == "Refused"
    for part in ("Refused", "demo was trained on generated data", "serves other data (shop: monday)", "--store"):
        assert part in asked["state"].message
    assert ("monday stays in service" in asked["state"].message) == (name == "shop")
    assert Registry(store, "shop").current().run_id == "monday"
    assert Registry(store, "demo").current() is None


def test_the_setting_says_how_often_a_model_that_is_no_better_is_promoted():
    description = typing.cast(str, type(Config().service).model_fields["promote"].description)
    assert "97.5%" in description
    assert "validation rows" in description
