"""The caching wrapper: computed once, recomputed for the right reason, resumed after a failure."""

import pytest

from genrec.config import Config
from genrec.errors import ConfigError
from genrec.store.local import Store
from tasks.run import STAGES, Run, stages_to_refresh
from tasks.stage import Stage


class Counted:
    """Two chained toy stages that count their computations."""

    def __init__(self, tmp_path):
        self.calls: list[str] = []
        self.fail = False
        self.store = Store(tmp_path)
        self.first = Stage("prepare", 1, lambda c: c.prepare.key_slice(), self._first)
        self.second = Stage("sid", 1, lambda c: {"seed": c.seed, "codes": c.sid.num_codes}, self._second)

    def _first(self, job):
        self.calls.append("prepare")
        (job.out / "a.txt").write_text(str(job.config.prepare.k_core))
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


def test_a_failed_stage_keeps_what_is_before_it_and_its_checkpoints(toy):
    toy.fail = True
    with pytest.raises(RuntimeError, match="lost power"):
        toy.run()
    toy.fail, toy.calls = False, []
    calls, records = toy.run()
    assert calls == ["sid"]
    assert "last checkpoint" in records["sid"]["reason"]
    assert list((toy.store.root / "tmp").iterdir()) == []


def test_a_failed_refresh_keeps_the_old_artifact(toy):
    toy.run()
    toy.fail = True
    with pytest.raises(RuntimeError):
        toy.run(refresh=frozenset({"sid"}))
    toy.fail = False
    toy.calls = []
    assert toy.run()[0] == []


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
    assert stages_to_refresh("sft", []) == {"sft", "rl", "evaluate"}
    assert stages_to_refresh(None, ["base"]) == {"base"}
    assert stages_to_refresh("embed", []) == set(STAGES) - {"ingest", "prepare"}
    assert stages_to_refresh("baselines", []) == {"baselines", "evaluate"}
    assert stages_to_refresh("ingest", []) == set(STAGES)


def test_an_unknown_stage_is_refused():
    with pytest.raises(ConfigError, match="'sftt' is not a stage; the stages are ingest, prepare"):
        stages_to_refresh("sftt", [])
