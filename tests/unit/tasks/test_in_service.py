"""The stage that ranks the same rows with the new model and the one in service: its key, and what it computes."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from genrec import tables
from genrec.config import Config, EvaluateConfig
from genrec.in_service.decision import decide
from genrec.in_service.ranks import CURRENT, NEW, read_ranks
from genrec.measure.decoding import decode_shard
from genrec.measure.evaluation import merge
from genrec.store.local import Artifact
from tasks.stages.in_service import in_service
from tests.support.evaluate_tiny import CONFIG, NUM_USERS, write_model, write_prepared, write_sid_artifact

CHANGES_A_RANKED_LIST = {
    "beam_width": 30,
    "seen_items": "keep",
    "precision": "bf16",
    "compile": True,
    "sample_users": 9,
}
CHANGES_NONE = {
    "ks": [3],
    "choice_users": 17,
    "baselines": [],
    "head_share": 0.5,
    "num_bootstrap": 99,
    "confidence": 0.5,
    "batch_size": 7,
    "num_shards": 2,
}


def _key(config):
    return in_service.key(config, {"prepare": Artifact("prepare-1", "prepare", Path(), "", {}, 0.0)})[0]


def test_every_setting_of_the_evaluation_is_sampled():
    assert {*CHANGES_A_RANKED_LIST, *CHANGES_NONE} == set(EvaluateConfig.model_fields)


@pytest.mark.parametrize("name", [*CHANGES_A_RANKED_LIST, *CHANGES_NONE])
def test_the_key_of_the_comparison_holds_what_changes_a_ranked_list_and_nothing_else(name):
    value = {**CHANGES_A_RANKED_LIST, **CHANGES_NONE}[name]
    changed = Config().model_copy(update={"evaluate": EvaluateConfig(**{name: value})})
    assert getattr(changed.evaluate, name) != getattr(Config().evaluate, name)
    assert (_key(changed) != _key(Config())) == (name in CHANGES_A_RANKED_LIST)


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """The stage run on two models of one catalogue, in this process; the evaluate artifact of the new one beside."""
    root = tmp_path_factory.mktemp("in_service")
    prepared, sids = write_prepared(root / "prepared"), write_sid_artifact(root / "sids")
    new, current = (write_model(root / name, prepared, seed) for seed, name in enumerate((NEW, CURRENT)))
    config = Config(evaluate=CONFIG.model_copy(update={"num_shards": 2, "baselines": []}))
    calls = []

    @contextlib.contextmanager
    def scratch():
        (root / "scratch").mkdir()
        yield root / "scratch"

    def ray_tasks(function, given, **how):
        calls.extend(given)
        return [function(**call, device="cpu") for call in given]

    (root / "out").mkdir()
    job = SimpleNamespace(config=config, out=root / "out", scratch=scratch, ray_tasks=ray_tasks)

    def artifact(stage, path):
        return Artifact(stage, stage, path, "", {}, 0.0)

    shared = {"prepare": artifact("prepare", prepared), "sid": artifact("sid", sids)}
    summary = in_service.function(
        job,
        **shared,
        base=artifact("base", new.parent / "base"),
        rl=artifact("rl", new),
        **{f"current_{name}": value for name, value in shared.items()},
        current_base=artifact("base", current.parent / "base"),
        current_rl=artifact("rl", current),
    )
    for bounds in ((0, 5), (5, NUM_USERS)):
        decode_shard(prepared, sids, new, None, "sft", config.evaluate, bounds, root / "parts", device="cpu")
    merge(root / "parts", prepared, config.evaluate, root / "evaluate", identical={"rl": "sft"})
    return root, config, calls, summary


def test_the_new_model_ranks_validation_rows_and_the_one_in_service_both(decided):
    root, _, calls, summary = decided
    assert summary == {"rows": NUM_USERS, "unknown_targets": 0, "valid_rows": NUM_USERS}
    assert sorted((call["split"], call["name"]) for call in calls) == sorted(
        [("valid", NEW), ("valid", CURRENT), ("test", CURRENT)] * 2
    )
    assert {tuple(call["protocols"]) for call in calls} == {(CONFIG.seen_items,)}
    ranks = tables.read_table(root / "out" / "ranks.parquet")
    assert len(ranks) == 3 * NUM_USERS
    assert read_ranks(root / "out", "valid", NEW)[1].tolist() != read_ranks(root / "out", "valid", CURRENT)[1].tolist()


def test_what_it_writes_is_what_the_decision_reads(decided):
    root, config, _, _ = decided
    made = decide(root / "evaluate", root / "out", config.evaluate)
    assert (made["rows"], made["test"]["rows"]) == (NUM_USERS, NUM_USERS)
    assert made["ci"][0] <= made["difference"] <= made["ci"][1]
    assert made["good_enough"] == (made["ci"][1] >= 0)
