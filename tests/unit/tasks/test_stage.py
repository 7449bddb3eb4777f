"""The caching wrapper: computed once, recomputed for the right reason, resumed after a failure."""

import contextlib
import importlib.metadata
import json

import pytest

from genrec.config import Config
from genrec.errors import ConfigError, DataError
from genrec.store.local import Store
from tasks.run import STAGES, Run, stages_to_refresh
from tasks.stage import Stage
from tasks.stop import stoppable, stopping


class Counted:
    """Two chained toy stages that count their computations."""

    def __init__(self, tmp_path):
        self.calls: list[str] = []
        self.fail, self.drift = False, ""
        self.store = Store(tmp_path)
        self.first = Stage("prepare", 1, lambda c: c.prepare.key_slice(), self._first)
        self.second = Stage("sid", 1, lambda c: {"seed": c.seed, "codes": c.sid.num_codes}, self._second)

    def _first(self, job):
        self.calls.append("prepare")
        (job.out / "a.txt").write_text(f"{job.config.prepare.k_core}{self.drift}")
        return {"k": job.config.prepare.k_core}

    def _second(self, job, prepare):
        self.calls.append("sid")
        (job.work / "checkpoint").write_text("half")
        if self.fail:
            raise RuntimeError("lost power")
        (job.out / "b.txt").write_text((prepare.path / "a.txt").read_text() * job.config.seed)
        return {}

    def run(self, config=None, **run):
        made = Run(config or Config(), self.store, "test", **run)
        first = self.first.execute(made, {})
        first = getattr(first, "data", first)
        self.second.execute(made, {"prepare": first})
        self.calls, calls = [], self.calls
        return calls, {r["name"]: r for r in made.records}


@pytest.fixture
def toy(tmp_path):
    return Counted(tmp_path)


def test_a_second_run_computes_nothing(toy):
    assert toy.run()[0] == ["prepare", "sid"]
    calls, records = toy.run()
    assert calls == []
    assert {r["status"] for r in records.values()} == {"cached"}


def test_a_changed_setting_recomputes_its_stage_and_those_after_only(toy):
    toy.run()
    calls, records = toy.run(Config(seed=3))
    assert calls == ["sid"]
    assert records["sid"]["reason"] == "seed changed from 0 to 3"
    calls, records = toy.run(Config.model_validate({"prepare": {"k_core": 2}}))
    assert calls == ["prepare", "sid"]
    assert records["prepare"]["reason"] == "k_core changed from 5 to 2"
    assert records["sid"]["reason"] == "new prepare"


def test_going_back_to_old_settings_is_cached(toy):
    toy.run()
    toy.run(Config(seed=3))
    assert toy.run()[0] == []


def test_refresh_recomputes_the_named_stage_only(toy):
    toy.run()
    calls, records = toy.run(refresh=frozenset({"prepare"}))
    assert calls == ["prepare"]
    assert records["prepare"]["reason"] == "refresh asked for"


def test_a_refresh_that_changes_what_a_later_stage_read_recomputes_that_stage(toy):
    toy.run()
    toy.drift = " drifted"  # as on another processor: the same key, other bytes
    calls, records = toy.run(refresh=frozenset({"prepare"}))
    assert calls == ["prepare", "sid"]
    assert records["sid"]["reason"] == "prepare refreshed since, with other content"
    assert toy.run()[0] == []


def test_a_failed_stage_keeps_what_is_before_it_and_its_checkpoints(toy):
    toy.fail = True
    with pytest.raises(RuntimeError, match="lost power"):
        toy.run()
    toy.fail, toy.calls = False, []
    calls, records = toy.run()
    assert calls == ["sid"]
    assert "last checkpoint" in records["sid"]["reason"]
    assert list((toy.store.root / "tmp").iterdir()) == []


def test_checkpoints_of_a_process_that_died_just_after_its_commit_are_discarded_by_the_next_run(toy, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Store, "discard_work", lambda store, key: None)
        toy.run()
    assert len(list((toy.store.root / "work").iterdir())) == 2
    assert toy.run()[0] == []
    assert list((toy.store.root / "work").iterdir()) == []


def test_a_failed_refresh_keeps_the_old_artifact(toy):
    toy.run()
    toy.fail = True
    with pytest.raises(RuntimeError):
        toy.run(refresh=frozenset({"sid"}))
    toy.fail = False
    toy.calls = []
    assert toy.run()[0] == []


def test_a_retry_of_a_refresh_goes_on_from_its_checkpoint_and_a_new_refresh_starts_over(toy):
    toy.run()
    attempts = []

    def second(job, prepare):
        attempts.append((job.work / "checkpoint").exists())
        return toy._second(job, prepare)

    toy.second.function = second
    run = Run(Config(), toy.store, "test", refresh=frozenset({"sid"}))
    prepared = toy.first.execute(run, {}).data
    for toy.fail in (True, False):
        with contextlib.suppress(RuntimeError):
            toy.second.execute(run, {"prepare": prepared})
    assert attempts == [False, True]
    toy.fail = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="lost power"):
            toy.run(refresh=frozenset({"sid"}))
    assert attempts == [False, True, False, False]


def test_a_corrupt_artifact_is_recomputed_and_the_reason_given(toy):
    toy.run()
    path = next((toy.store.root / "objects").glob("prepare-*/a.txt"))
    path.write_text("tampered")
    calls, records = toy.run()
    assert calls == ["prepare"]
    assert "corrupt" in records["prepare"]["reason"]


def test_a_new_stage_version_recomputes(toy):
    toy.run()
    toy.second.version = 2
    calls, records = toy.run()
    assert calls == ["sid"]
    assert records["sid"]["reason"] == "stage version 1 -> 2"


def test_from_stage_names_it_and_all_that_follow():
    assert stages_to_refresh("sft", []) == {"sft", "rl", "rank", "evaluate"}
    assert stages_to_refresh(None, ["base"]) == {"base"}
    assert stages_to_refresh("embed", []) == set(STAGES) - {"ingest", "prepare"}
    assert stages_to_refresh("baselines", []) == {"baselines", "evaluate"}
    assert stages_to_refresh("ingest", []) == set(STAGES)


def test_an_unknown_stage_is_refused():
    with pytest.raises(ConfigError, match="'sftt' is not a stage; the stages are ingest, prepare"):
        stages_to_refresh("sftt", [])


def _manifest(toy, stage):
    (path,) = (toy.store.root / "objects").glob(f"{stage}-*")
    return json.loads((path / "manifest.json").read_text())


def _made_with_other_torch(toy):
    """Both artifacts, as if an older torch had computed them."""
    for stage in ("prepare", "sid"):
        manifest = _manifest(toy, stage)
        manifest["made_on"]["processes"][0]["versions"]["torch"] = "1.0"
        (toy.store.object_path(manifest["key"]) / "manifest.json").write_text(json.dumps(manifest))


def test_the_manifest_says_on_what_a_stage_was_computed(toy):
    toy.run()
    made = _manifest(toy, "sid")["made_on"]
    assert made["threads"] >= 1
    assert [set(p) for p in made["processes"]] == [{"cpu", "device", "threads", "versions"}]
    assert made["processes"][0]["versions"]["numpy"]


def test_what_was_made_elsewhere_is_reused_and_the_log_says_so(toy, monkeypatch):
    lines = []
    monkeypatch.setattr("tasks.stage._log", lines.append)
    toy.run()
    toy.run()
    assert not any("elsewhere" in line for line in lines)
    _made_with_other_torch(toy)
    assert toy.run()[0] == []
    here = importlib.metadata.version("torch")
    assert lines[-1].endswith(f"; made elsewhere: torch 1.0 (here {here})")


def test_a_run_may_ask_for_what_was_made_elsewhere_to_be_computed_again_once(toy):
    toy.run()
    _made_with_other_torch(toy)
    calls, records = toy.run(refresh_elsewhere=True)
    assert calls == ["prepare", "sid"]
    assert records["sid"]["reason"].startswith("made elsewhere: torch 1.0")
    assert toy.run(refresh_elsewhere=True)[0] == []


def test_of_an_artifact_without_a_record_the_log_says_so(toy, monkeypatch):
    lines = []
    monkeypatch.setattr("tasks.stage._log", lines.append)
    toy.run()
    manifest = _manifest(toy, "sid")
    del manifest["made_on"]
    (toy.store.object_path(manifest["key"]) / "manifest.json").write_text(json.dumps(manifest))
    assert toy.run()[0] == []
    assert lines[-1].endswith("; on what it was made is not recorded")
    assert toy.run(refresh_elsewhere=True)[0] == ["sid"]


def test_another_number_of_threads_counts_as_elsewhere_and_more_cores_a_task_with_the_same_threads_do_not(toy):
    def config(num_threads, num_cpus):
        resources = {s: {"num_threads": num_threads, "num_cpus": num_cpus} for s in ("prepare", "sid")}
        return Config.model_validate({"resources": resources})

    toy.run(config(2, 1))
    assert toy.run(config(2, 4), refresh_elsewhere=True)[0] == []
    assert toy.run(config(3, 1))[0] == []
    assert toy.run(config(3, 1), refresh_elsewhere=True)[0] == ["prepare", "sid"]


def test_a_stage_that_is_stopped_is_cancelled_and_its_checkpoint_is_kept(toy):
    def stopped(job, prepare):
        (job.work / "checkpoint").write_text("half")
        stopping().check()

    toy.second = Stage("sid", 1, toy.second.reads, stopped)
    with stoppable() as stop:
        run = Run(Config(), toy.store, "test")
        first = toy.first.execute(run, {})
        stop.ask("Ctrl-C")
        state = toy.second.execute(run, {"prepare": first})
    assert (state.is_cancelled(), state.message) == (True, "Ctrl-C")
    assert [r["name"] for r in run.records] == ["prepare"]
    assert (toy.store.work_path(toy.second.key(Config(), {"prepare": first})[0]) / "checkpoint").read_text() == "half"


def test_an_artifact_that_is_not_accepted_stops_the_run_computed_or_stored_and_stays(toy):
    def refuse(config, artifact):
        if config.prepare.k_core == artifact.summary["k"] == 5:
            raise DataError("too old")

    toy.first = Stage("prepare", 1, lambda c: c.prepare.key_slice(), toy._first, accepts=refuse)
    for _ in range(2):
        with pytest.raises(DataError, match="too old"):
            toy.run()
    assert toy.calls == ["prepare"]  # the second time it was read
    toy.calls = []
    assert toy.run(Config.model_validate({"prepare": {"k_core": 2}}))[0] == ["prepare", "sid"]
