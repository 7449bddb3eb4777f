"""What a stage takes over from the model in service: keys that say so, and nothing new where nothing changed."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from genrec.config import Config
from genrec.config.load import load_config
from genrec.errors import ConfigError
from genrec.store.local import Artifact, Store
from tasks.ray import parallel
from tasks.run import Run
from tasks.stage import Stage
from tasks.stages.sft import sft


class Shop:
    """Two toy stages; the second takes over from the model in service where the config says so."""

    def __init__(self, tmp_path):
        self.store, self.calls = Store(tmp_path), []
        self.data, self.drift = "monday", ""
        self.first = Stage("prepare", 1, lambda c: {"files": self.data}, self._first)
        self.second = Stage(
            "sid", 1, lambda c: {"codes": c.sid.num_codes}, self._second, lambda c: "ids" if c.service.keep else None
        )

    def _first(self, job):
        (job.out / "a.txt").write_text(self.data)
        return {}

    def _second(self, job, prepare):
        before = job.previous["sid"].path / "b.txt" if job.previous else None
        self.calls.append("from scratch" if before is None else f"after {before.read_text()}")
        (job.out / "b.txt").write_text((prepare.path / "a.txt").read_text() + self.drift)
        return {}

    def run(self, *overrides, previous=None, **more):
        run = Run(load_config([], list(overrides)), self.store, "test", previous=previous or {}, **more)
        made = {}
        for stage, inputs in ((self.first, ()), (self.second, ("prepare",))):
            found = stage.execute(run, {n: made[n] for n in inputs})
            made[stage.name] = getattr(found, "data", found)
        self.calls, calls = [], self.calls
        return made, calls, {r["name"]: r for r in run.records}


KEEP = "service.keep=[vectors, ids]"


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_new_data_is_computed_after_the_model_in_service_under_a_key_of_its_own(shop):
    monday, calls, _ = shop.run(KEEP)
    assert calls == ["from scratch"]
    shop.data = "tuesday"
    tuesday, calls, _ = shop.run(KEEP, previous=monday)
    assert calls == ["after monday"]
    assert shop.store.manifest(tuesday["sid"])["inputs"]["previous"] == monday["sid"].key
    alone, calls, _ = shop.run()
    assert calls == ["from scratch"]
    assert alone["sid"].key != tuesday["sid"].key


def test_a_retry_finds_what_was_computed_and_another_origin_is_another_key(shop):
    monday, _, _ = shop.run(KEEP)
    shop.data = "tuesday"
    tuesday, _, _ = shop.run(KEEP, previous=monday)
    assert shop.run(KEEP, previous=monday)[1] == []
    shop.data = "wednesday"
    from_monday, _, _ = shop.run(KEEP, previous=monday)
    from_tuesday, calls, _ = shop.run(KEEP, previous=tuesday)
    assert calls == ["after tuesday"]
    assert from_monday["sid"].key != from_tuesday["sid"].key


def test_without_new_data_the_artifact_in_service_is_the_result(shop):
    monday, _, _ = shop.run(KEEP)
    shop.data = "tuesday"
    tuesday, _, _ = shop.run(KEEP, previous=monday)
    again, calls, records = shop.run(KEEP, previous=tuesday)
    assert calls == []
    assert again["sid"] == tuesday["sid"]
    assert (records["sid"]["status"], records["sid"]["reason"]) == ("cached", "nothing new since the model in service")


def test_without_new_data_what_was_refreshed_since_is_the_result_and_new_data_follows_the_one_in_service(shop):
    monday, _, _ = shop.run(KEEP)
    shop.drift = ", on another processor"
    refreshed, _, _ = shop.run(KEEP, previous=monday, refresh=frozenset({"sid"}))
    assert refreshed["sid"].key == monday["sid"].key
    (again, calls, _) = shop.run(KEEP, previous=monday)
    assert (again["sid"].path, calls) == (refreshed["sid"].path, [])
    assert again["sid"].path != monday["sid"].path
    (monday["sid"].path / "b.txt").write_text("in service")
    shop.data = "tuesday"
    assert shop.run(KEEP, previous=monday)[1] == ["after in service"]


def test_refresh_computes_even_so(shop):
    monday, _, _ = shop.run(KEEP)
    assert shop.run(KEEP, previous=monday, refresh=frozenset({"sid"}))[1] == ["from scratch"]


def test_nothing_is_taken_over_from_a_model_with_other_settings(shop):
    monday, _, _ = shop.run(KEEP)
    shop.data = "tuesday"
    changed, calls, _ = shop.run(KEEP, "sid.num_codes=128", previous=monday)
    assert calls == ["from scratch"]
    assert "previous" not in shop.store.manifest(changed["sid"])["inputs"]


@pytest.mark.parametrize(
    ("digest", "summary", "starts"), [("a", {}, True), ("b", {}, False), ("b", {"ids": "kept"}, True)]
)
def test_weights_are_taken_over_where_the_ids_are_the_same_and_not_where_they_were_refreshed(
    monkeypatch, digest, summary, starts
):
    asked = {}
    monkeypatch.setattr(parallel, "train", lambda stage, function, call, *more: asked.update(call) or {})
    previous = {
        stage: Artifact(f"{stage}-1", stage, Path(stage), "a", {}, 0.0) for stage in ("prepare", "sid", "base", "sft")
    }
    job = SimpleNamespace(config=Config(), work=Path("work"), out=Path("out"), previous=previous)
    inputs = {stage: previous[stage] for stage in ("prepare", "base")} | {"embed": previous["prepare"]}
    sft.function(job, **inputs, sid=dataclasses.replace(previous["sid"], digest=digest, summary=summary))
    assert (asked["warm_start"] is not None) == starts


def test_weights_without_ids_are_refused():
    with pytest.raises(ConfigError, match="weights have no meaning under other ids"):
        load_config([], ["service.keep=[weights]"])
    assert Config().service.keep == []
