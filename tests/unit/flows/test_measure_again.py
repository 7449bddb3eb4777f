"""What a trained model is measured with once more: the config and the artifacts of its own run."""

import json

import pytest

from flows.measure_again import COMPUTED, config_and_artifacts
from genrec.config.load import load_config
from genrec.errors import ConfigError, GenrecError
from genrec.in_service.registry import Registry
from genrec.store.local import Store
from tasks.run import STAGES


@pytest.fixture
def store(tmp_path):
    """A store with the finished runs `whole` (in service) and `short`, which stopped before sft."""
    store = Store(tmp_path)
    settings = ["preset=quick", "sft.epochs=9", "service.keep=[ids]", "service.promote=if_better", "seed=4"]
    config = load_config([], ["name=shop", f"store={tmp_path}/elsewhere", *settings]).model_dump(mode="json")
    for run, stages in (("whole", STAGES), ("short", STAGES[:5])):
        records, keys = [], {}
        for stage in stages:
            with store.scratch() as folder:
                (folder / "f.txt").write_text(run)
                more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
                made = store.commit(f"{stage}-{run}", stage, folder, **more)
            records.append({"name": stage, "key": made.key, "digest": made.digest})
            keys[stage] = made.key
        report = {"run_id": run, "name": "shop", "stages": records, "config": config}
        (store.run_path(run) / "report.json").write_text(json.dumps(report))
        store.finish_run(run)
    Registry(store, "shop").promote("whole", {r: f"{r}-whole" for r in STAGES}, "")
    return store


@pytest.mark.parametrize(("run", "name"), [("", ""), ("", "shop"), ("whole", "")])
def test_the_config_is_that_of_the_run_and_nothing_is_promoted_or_taken_over(store, run, name):
    fields = {"evaluate.beam_width": 33}
    config, artifacts = config_and_artifacts(run, name, str(store.root), fields, ["evaluate.num_bootstrap=50"])
    assert (config.seed, config.sft.epochs, config.preset) == (4, 9, "quick"), "the size was laid over once more"
    assert (config.evaluate.beam_width, config.evaluate.num_bootstrap) == (33, 50)
    assert (config.service.promote, config.service.keep, config.store) == ("never", [], str(store.root))
    assert {stage: a.key for stage, a in artifacts.items()} == {s: f"{s}-whole" for s in STAGES if s not in COMPUTED}


@pytest.mark.parametrize(
    ("run", "name", "says"),
    [
        ("short", "", "short: stopped before sft"),
        ("nosuch", "", "finished runs, newest first: short, whole"),
        ("", "other", "no model is in service under 'other'"),
    ],
)
def test_a_run_that_cannot_be_measured_is_named(store, run, name, says):
    with pytest.raises(GenrecError, match=says):
        config_and_artifacts(run, name, str(store.root), {}, [])


def test_an_artifact_that_is_gone_is_named(store):
    (store.object_path("rl-whole") / "f.txt").write_text("damaged")
    with pytest.raises(GenrecError, match=r"whole: its rl \(rl-whole\) is not whole in the store any more"):
        config_and_artifacts("whole", "", str(store.root), {}, [])


@pytest.mark.parametrize("setting", ["sft.epochs=3", "seed=1", "data={path: x}", "store=x"])
def test_settings_of_the_model_are_refused(store, setting):
    with pytest.raises(ConfigError, match="only settings of evaluate and resources can change here"):
        config_and_artifacts("whole", "", str(store.root), {}, [setting])
