"""The baselines stage: parts, costs, and what the fits get to see."""

import json

import numpy as np
import pytest

from genrec import tables
from genrec.embed.vectors import write_item_vectors
from genrec.measure.baselines import finish, rank_baseline, read_training
from genrec.measure.evaluation import merge
from genrec.progress import silent
from tests.support.evaluate_tiny import CONFIG, NUM_ITEMS, NUM_USERS, rank_baselines, write_prepared

NAMES = ["content", "usercf", "sasrec"]
SMALL = [{"name": "sasrec", "options": {"hidden_size": 8, "num_layers": 1, "epochs": 2}} if n == "sasrec" else n for n in NAMES]  # fmt: skip


@pytest.fixture
def world(tmp_path):
    prepared = write_prepared(tmp_path / "prepared")
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS, 4)).astype(np.float32)
    write_item_vectors(vectors, tmp_path / "vectors.parquet")
    config = CONFIG.model_validate({**CONFIG.model_dump(), "baselines": SMALL})
    return prepared, tmp_path / "vectors.parquet", config


def test_a_fit_sees_training_events_only(world):
    data = read_training(world[0], world[1], 3, silent)
    train = tables.read_table(world[0] / "train.parquet")
    assert [s.tolist() for s in data.sequences] == train["items"].to_pylist()
    assert [t.tolist() for t in data.timestamps] == train["timestamps"].to_pylist()
    valid = tables.read_table(world[0] / "valid.parquet")
    assert data.validation.targets.tolist() == valid["target"].to_pylist()
    assert (data.num_items, data.vectors.shape, data.seed) == (NUM_ITEMS, (NUM_ITEMS, 4), 3)


def test_baselines_made_apart_equal_those_made_together(world, tmp_path):
    rank_baselines(world[0], world[2], tmp_path / "together", vectors=world[1], seed=1)
    records = [rank_baseline(*world, i, 1, tmp_path / "apart") for i in (2, 0, 1)]
    summary = finish(world[2], records, tmp_path / "apart")
    together, apart = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("together", "apart"))
    assert together == apart
    assert len(apart) == 3 * 3 + 1  # two protocols and the counts of each, the list of all
    assert set(summary["baselines"]) == set(NAMES)
    for cost in summary["baselines"].values():
        assert cost["users_per_s"] > 0 <= cost["fit_seconds"] <= cost["choose_seconds"]


def test_the_artifact_holds_no_durations_and_names_every_setting(world, tmp_path):
    rank_baselines(world[0], world[2], tmp_path / "out", vectors=world[1])
    listed = json.loads((tmp_path / "out" / "baselines.json").read_text())
    assert listed["sasrec"]["options"]["hidden_size"] == 8
    assert list(listed) == NAMES
    assert not any("seconds" in p.read_text() for p in (tmp_path / "out").glob("*.json"))


def test_the_artifact_and_the_summary_say_how_options_were_chosen(world, tmp_path):
    config = world[2].model_copy(update={"choice_users": 5})
    summary = rank_baselines(world[0], config, tmp_path / "out", vectors=world[1])["baselines"]
    listed = json.loads((tmp_path / "out" / "baselines.json").read_text())
    assert {name: {k: summary[name][k] for k in chosen} for name, chosen in listed.items()} == listed
    content, sasrec = listed["content"], listed["sasrec"]
    assert (content["name"], content["set"], content["valid_users"]) == ("content", [], 5)
    best = max(content["tried"], key=lambda tried: tried["ndcg@10"])
    assert content["options"].items() >= best["options"].items()
    assert {"history_decay"} <= {name for tried in content["tried"] for name in tried["options"]}
    assert sasrec["set"] == ["epochs", "hidden_size", "num_layers"]
    assert not {"epochs", "hidden_size", "num_layers"} & {n for tried in sasrec["tried"] for n in tried["options"]}


def test_without_users_to_choose_on_a_baseline_has_its_defaults(world, tmp_path):
    rank_baselines(world[0], world[2].model_copy(update={"choice_users": 0}), tmp_path / "out", vectors=world[1])
    listed = json.loads((tmp_path / "out" / "baselines.json").read_text())
    assert listed["content"]["options"] == {"num_neighbours": 100, "history_decay": 0.7}
    assert all(baseline["tried"] == [] for baseline in listed.values())


def test_they_are_measured_from_a_folder_of_their_own(world, tmp_path):
    rank_baselines(world[0], world[2], tmp_path / "baselines", vectors=world[1])
    merge(tmp_path / "parts", world[0], world[2], tmp_path / "out", baselines=tmp_path / "baselines")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    assert list(metrics) == NAMES
    assert {"coverage@5", "novelty@5", "diversity@5", "tail_share@5"} <= metrics["usercf"].keys()


def test_a_progress_bar_of_a_baseline_ends_at_one(world, tmp_path):
    seen = []
    rank_baseline(*world, 2, 0, tmp_path, progress=lambda done, total, note="", /, **values: seen.append((done, total)))
    assert {total for _, total in seen} == {1}
    assert seen[-1] == (1, 1)
    assert all(0 <= done <= 1 for done, _ in seen)


def test_no_validation_rows_is_no_crash(world, tmp_path):
    table = tables.read_table(world[0] / "valid.parquet", tables.TARGETS)
    tables.write_table(table.slice(0, 0), world[0] / "valid.parquet", tables.TARGETS)
    assert read_training(world[0], None, 0, silent).validation is None
    assert rank_baseline(*world, 2, 0, tmp_path)["users"] == NUM_USERS
