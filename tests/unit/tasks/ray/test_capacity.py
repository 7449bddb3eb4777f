"""How many runs go side by side: never so many that their learners and actors could keep each other out."""

import pytest

from genrec.config.load import load_config
from genrec.errors import ConfigError
from tasks.ray.capacity import needs, runs_at_once


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def config(*overrides):
    return load_config([], list(overrides))


def test_a_run_needs_room_for_its_learners_and_all_their_actors():
    assert (
        needs(config("resources.rl.num_cpus=2", "rl.num_rollout_workers=3", "resources.rollout.num_cpus=1.5"))[0] == 6.5
    )
    assert needs(config("sft.data_parallel=4", "resources.sft={num_cpus: 2, num_gpus: 1}")) == (8, 4)
    assert (
        needs(config("resources.rl.num_gpus=0.5", "resources.rollout.num_gpus=0.25", "rl.num_rollout_workers=2"))[1]
        == 1
    )


def test_a_stage_that_is_not_run_holds_no_core():
    one = [f"resources.{s}.num_cpus=1" for s in ("sid", "base", "sft", "evaluate")]
    small = config("rl.num_rollout_workers=0", *one, "resources.rank.num_cpus=7")
    assert needs(small)[0] < 7
    assert needs(config("rl.num_rollout_workers=0", *one, "resources.rank.num_cpus=7", "rank.enabled=true"))[0] == 7


def test_runs_go_side_by_side_where_the_machine_has_room():
    small = ["rl.num_rollout_workers=0", *(f"resources.{s}.num_cpus=1" for s in ("sid", "base", "sft", "evaluate"))]
    for cores, expected in ((1, 1), (2, 2), (3, 3), (64, 4)):
        assert runs_at_once([config(*small, f"resources.num_cpus={cores}", f"name=r{i}") for i in range(4)]) == expected
    assert runs_at_once([config("resources.num_cpus=2")] * 3) == 1


def test_one_run_or_a_run_that_is_too_large_goes_alone():
    assert runs_at_once([config()]) == 1
    assert runs_at_once([config("resources.sft.num_gpus=1", "resources.num_cpus=64")] * 2) == 1


def test_every_config_runs_with_each_seed_all_recipes_first():
    from flows.compare import with_seeds

    runs = with_seeds([config("name=a", "seed=5"), config("name=b")], 2)
    assert [(c.name, c.seed) for c in runs] == [("a", 5), ("b", 0), ("a", 6), ("b", 1)]
    with pytest.raises(ConfigError, match="two of the configs are called 'a'"):
        with_seeds([config("name=a"), config("name=a")], 1)
