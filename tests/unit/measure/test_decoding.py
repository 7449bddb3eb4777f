"""Lists of a trained model: of the parts of its score alone, and what is counted of them."""

import json

import numpy as np
import pytest

from genrec import tables
from genrec.measure.decoding import count_invalid, decode_shard
from genrec.measure.evaluation import merge
from genrec.measure.predictions import read_ranks
from genrec.measure.rows import read_rows
from genrec.measure.score_parts import MEASURED
from genrec.model.policy import Policy
from genrec.tables import read_sids
from tests.support.evaluate_tiny import (
    CONFIG,
    NUM_ITEMS,
    NUM_USERS,
    rank_baselines,
    write_joined_model,
    write_prepared,
    write_sid_artifact,
)

WIDE = CONFIG.model_copy(update={"beam_width": NUM_ITEMS})  # so wide that the search is exact
PARTS = ("sft_ids", "sft_dense", "sft_transitions")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Prepared data and ids."""
    root = tmp_path_factory.mktemp("world")
    return write_prepared(root / "prepared"), write_sid_artifact(root / "sid")


@pytest.fixture(scope="module")
def joined(world, tmp_path_factory):
    """The stage's artifact of a model with three parts that RL left as it was; (root, metrics.json, summary, table)."""
    root = tmp_path_factory.mktemp("joined")
    prepared, sids = world
    model = write_joined_model(root, prepared, sids, weight=0.5, share=0.3)
    parts, alone = root / "parts", MEASURED["sft"]
    for bounds in ((0, 7), (7, NUM_USERS)):
        decode_shard(prepared, sids, model, None, "sft", WIDE, bounds, parts, alone=alone, device="cpu")
    rank_baselines(prepared, WIDE, root / "baselines")
    summary = merge(parts, prepared, WIDE, root / "out", baselines=root / "baselines", identical={"rl": "sft"})
    table = tables.read_table(root / "out" / "predictions.parquet", tables.PREDICTIONS)
    return root, json.loads((root / "out" / "metrics.json").read_text()), summary, table


def test_the_parts_of_a_score_are_models_of_their_own_under_the_headline_protocol(joined):
    _, result, summary, table = joined
    assert list(result["metrics"]) == ["sft", *PARTS, "rl", "popularity", "itemcf", "transitions"]
    assert result["score"] == {"sft": {"ids": 0.5, "dense": 0.35, "transitions": 0.15}}
    stored = {(row["model"], row["seen_items"]) for row in table.select(["model", "seen_items"]).to_pylist()}
    for part in PARTS:
        assert {"hr@5", "ndcg@5_ci", "coverage@5", "slices"} <= result["metrics"][part].keys()
        assert "seen_kept" not in result["metrics"][part]
        assert [protocol for model, protocol in stored if model == part] == ["drop"]
        assert result["decode"]["invalid"][part] == 0
        assert summary["decode"]["users_per_s_by_model"][part] > 0
    assert "seen_kept" in result["metrics"]["sft"]


def test_a_part_alone_ranks_by_itself(joined, world):
    root, _, _, table = joined
    policy, rows = Policy.load(root / "joined", device="cpu"), read_rows(world[0], "test")
    prompts = policy.prompts(rows.histories, read_sids(world[1]))
    with policy.inference():
        hidden = policy.body(inputs_embeds=policy.prompt_embeds(prompts), attention_mask=prompts.attention_mask)
        wanted = {
            "sft_dense": policy.item_logits(hidden.last_hidden_state[:, -1]),
            "sft_transitions": policy.items.transitions.scores(prompts.histories),
        }
    for part, scores in wanted.items():
        lists = [row["items"] for row in table.to_pylist() if row["model"] == part]
        for found, of_user, history in zip(lists, scores.numpy(), rows.histories, strict=True):
            assert len(found) == NUM_ITEMS - len(set(history))
            ranked = of_user[found]
            assert (np.diff(ranked) <= 1e-5).all() or (part == "sft_transitions" and not of_user.any()), part


def test_the_semantic_ids_alone_are_the_model_without_its_head(joined, world, tmp_path):
    root, _, _, table = joined
    plain = root / "model"  # the same weights, without head and table
    decode_shard(*world, plain, None, "sft", WIDE, (0, NUM_USERS), tmp_path, device="cpu")
    lists = [row["items"] for row in table.to_pylist() if row["model"] == "sft_ids"]
    assert lists == tables.read_table(tmp_path / "sft.drop.0000000000.parquet")["items"].to_pylist()


def test_a_model_that_rl_left_as_it_was_is_measured_once_and_read_under_both_names(joined):
    root, result, _, table = joined
    assert result["identical"] == {"rl": "sft"}
    assert result["metrics"]["rl"] == result["metrics"]["sft"]
    assert "rl" not in table["model"].unique().to_pylist()
    for of_rl, of_sft in zip(*(read_ranks(root / "out", model, "drop") for model in ("rl", "sft")), strict=True):
        assert np.array_equal(of_rl, of_sft)
    compared = {(pair["model"], pair["against"]) for pair in result["comparisons"]}
    assert compared == {("sft", baseline) for baseline in ("popularity", "itemcf", "transitions")}


def test_invalid_outputs_are_counted():
    table = np.array([[0, 0], [0, 1], [1, 0]], dtype=np.int32)
    items = np.array([[0, 1], [2, -1]], dtype=np.int32)
    scores = np.array([[-1.0, -2.0], [-1.0, -np.inf]], dtype=np.float32)
    sids = np.array([[[0, 0], [0, 1]], [[1, 0], [-1, -1]]])
    assert count_invalid(items, scores, sids, table, None) == 0
    assert count_invalid(items, scores, sids, table, [np.array([1, 0]), np.array([], int)]) == 2
    assert count_invalid(items, scores, sids + 1, table, None) == 3
    twice = np.array([[0, 0], [2, -1]], dtype=np.int32)
    assert count_invalid(twice, scores, table[np.maximum(twice, 0)], table, None) == 1
    unknown = np.array([[7, 1], [2, -1]], dtype=np.int32)
    assert count_invalid(unknown, scores, sids, table, None) == 1
