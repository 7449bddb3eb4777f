"""The evaluate stage: decoding in shards, joining, measuring, comparing."""

import json
import shutil

import numpy as np
import pytest
from pydantic import ValidationError

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.errors import ConfigError, DataError
from genrec.measure.decoding import decode_shard
from genrec.measure.evaluation import merge
from genrec.measure.predictions import baseline_names, write_part
from genrec.measure.rows import read_rows, shards
from genrec.metrics import hit, ndcg, target_ranks
from genrec.tables import ragged, read_sids
from tests.support.evaluate_tiny import (
    CONFIG,
    NUM_ITEMS,
    NUM_USERS,
    rank_baselines,
    write_model,
    write_prepared,
    write_sid_artifact,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Inputs of the stage: prepared data, ids, a model."""
    root = tmp_path_factory.mktemp("world")
    prepared = write_prepared(root / "prepared")
    return prepared, write_sid_artifact(root / "sid"), write_model(root, prepared)


def decode(world, parts, bounds, name="sft", config=CONFIG):
    prepared, sids, model = world
    return decode_shard(prepared, sids, model, None, name, config, bounds, parts, device="cpu")


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    """The stage's artifact with one model called both sft and rl, its result and summary."""
    root = tmp_path_factory.mktemp("finished")
    for name in ("sft", "rl"):
        decode(world, root / "parts", (0, NUM_USERS), name)
    rank_baselines(world[0], CONFIG, root / "baselines")
    summary = merge(root / "parts", world[0], CONFIG, root / "out", baselines=root / "baselines")
    table = tables.read_table(root / "out" / "predictions.parquet", tables.PREDICTIONS)
    return root, json.loads((root / "out" / "metrics.json").read_text()), summary, table


def test_shards_cover_every_row_once(world):
    for num_shards in (1, 5, 100):
        bounds = shards(world[0], num_shards)
        assert [b for start, stop in bounds for b in range(start, stop)] == list(range(NUM_USERS))
        assert all(stop > start for start, stop in bounds)
        assert len(bounds) == min(num_shards, NUM_USERS)


def test_predictions_do_not_depend_on_shards_or_batches(world, tmp_path):
    decode(world, tmp_path / "one", (0, NUM_USERS))
    for bounds in ((5, 12), (0, 2), (2, 5)):
        decode(world, tmp_path / "many", bounds, config=CONFIG.model_copy(update={"batch_size": 2}))
    results = []
    for name in ("one", "many"):
        merge(tmp_path / name, world[0], CONFIG, tmp_path / f"{name}-out")
        results.append(tables.read_table(tmp_path / f"{name}-out" / "predictions.parquet"))
    for column in ("model", "seen_items", "user", "target", "rank", "items"):
        assert results[0][column].to_pylist() == results[1][column].to_pylist()
    np.testing.assert_allclose(*(r["scores"].combine_chunks().flatten().to_numpy() for r in results), rtol=1e-4)


def test_bf16_scores_are_near_those_of_fp32(world, tmp_path, monkeypatch):
    monkeypatch.setattr("genrec.model.precision.computes_bf16", lambda device: True)  # a CPU may emulate it
    scores = []
    for precision in ("fp32", "bf16"):
        decode(world, tmp_path / precision, (0, NUM_USERS), config=CONFIG.model_copy(update={"precision": precision}))
        (part,) = (tmp_path / precision).glob("*.keep.*.parquet")
        scores.append(tables.read_table(part)["scores"].combine_chunks().flatten().to_numpy())
    assert not np.array_equal(*scores)
    np.testing.assert_allclose(*scores, atol=0.1)


def test_bf16_is_refused_on_a_device_that_only_emulates_it(world, tmp_path, monkeypatch):
    monkeypatch.setattr("genrec.model.precision.computes_bf16", lambda device: False)
    with pytest.raises(ConfigError, match=r"set evaluate\.precision to fp32"):
        decode(world, tmp_path, (0, NUM_USERS), config=CONFIG.model_copy(update={"precision": "bf16"}))


def test_same_predictions_same_bytes(world, finished, tmp_path):
    merge(finished[0] / "parts", world[0], CONFIG, tmp_path, baselines=finished[0] / "baselines")
    for name in ("predictions.parquet", "metrics.json"):
        assert (tmp_path / name).read_bytes() == (finished[0] / "out" / name).read_bytes()


def test_dropped_items_never_appear_and_kept_ones_do(world, finished):
    table, rows = finished[3], read_rows(world[0], "test")
    for model in ("sft", "rl", "itemcf"):
        seen = {}
        for protocol in ("drop", "keep"):
            lists = [r["items"] for r in table.to_pylist() if (r["model"], r["seen_items"]) == (model, protocol)]
            seen[protocol] = sum(len(set(a) & set(b.tolist())) for a, b in zip(lists, rows.histories, strict=True))
            assert all(len(items) == CONFIG.beam_width == len(set(items)) for items in lists)
        assert seen["drop"] == 0
        assert seen["keep"] > 0


def test_metrics_equal_those_computed_row_by_row(finished):
    _, result, _, table = finished
    rows = [r for r in table.to_pylist() if r["seen_items"] == "drop" and r["model"] == "itemcf"]
    ranks = np.array([r["items"].index(r["target"]) if r["target"] in r["items"] else -1 for r in rows])
    entry = result["metrics"]["itemcf"]
    for k in CONFIG.ks:
        assert entry[f"hr@{k}"] == pytest.approx(hit(ranks, k).mean(), abs=1e-6)
        assert entry[f"ndcg@{k}"] == pytest.approx(ndcg(ranks, k).mean(), abs=1e-6)
        assert entry[f"hr@{k}_ci"][0] <= entry[f"hr@{k}"] <= entry[f"hr@{k}_ci"][1]
    assert entry["coverage@5"] == pytest.approx(len({i for r in rows for i in r["items"][:5]}) / NUM_ITEMS, abs=1e-6)
    assert set(entry["seen_kept"]) == {k for k in entry if k not in ("slices", "seen_kept")}


def test_slices_split_the_targets_by_training_popularity(world, finished):
    counts = tables.read_table(world[0] / "catalogue.parquet")["train_count"].to_numpy()
    cold = int((counts[read_rows(world[0], "test").targets] == 0).sum())
    metrics = finished[1]["metrics"]
    assert max(entry["hr@5"] for entry in metrics.values()) > 0
    for entry in metrics.values():
        slices = entry["slices"]
        assert sum(s["targets"] for s in slices.values()) == NUM_USERS
        assert slices["cold"]["targets"] == cold > 0
        whole = sum(s["targets"] * s["hr@5"] for s in slices.values()) / NUM_USERS
        assert whole == pytest.approx(entry["hr@5"], abs=1e-5)


def test_a_model_compared_with_its_twin_is_level(finished):
    twins = [c for c in finished[1]["comparisons"] if (c["model"], c["against"]) == ("rl", "sft")]
    assert [c["metric"] for c in twins] == ["hr@5", "ndcg@5"]
    assert all(c["difference"] == 0 and c["ci"] == [0, 0] and c["share_in_favour"] == 0.5 for c in twins)


def test_every_trained_model_meets_every_baseline(finished):
    pairs = {(c["model"], c["against"]) for c in finished[1]["comparisons"]}
    baselines = ("popularity", "itemcf", "transitions")
    assert pairs == {("rl", "sft")} | {(m, b) for m in ("sft", "rl") for b in baselines}


def test_speed_is_in_the_summary_and_not_in_the_artifact(finished):
    _, result, summary, _ = finished
    assert summary["decode"]["users_per_s"] > 0
    assert "seconds" not in json.dumps(result)
    assert result["decode"]["invalid"] == dict.fromkeys(("sft", "rl", "popularity", "itemcf", "transitions"), 0)


def test_a_missing_shard_is_an_error(world, tmp_path):
    decode(world, tmp_path, (0, 5))
    with pytest.raises(DataError, match=r"sft .* cover 5 rows of 1 parts, and there are 12"):
        merge(tmp_path, world[0], CONFIG, tmp_path / "out")


def test_no_predictions_is_an_error(world, tmp_path):
    with pytest.raises(DataError, match="no predictions"):
        merge(tmp_path, world[0], CONFIG, tmp_path / "out")


def test_no_test_rows_is_an_error(world, tmp_path):
    prepared = shutil.copytree(world[0], tmp_path / "prepared")
    table = tables.read_table(prepared / "test.parquet", tables.TARGETS)
    tables.write_table(table.slice(0, 0), prepared / "test.parquet", tables.TARGETS)
    assert shards(prepared, 4) == []
    with pytest.raises(DataError, match="no test row"):
        merge(tmp_path / "parts", prepared, CONFIG, tmp_path / "out")


def test_baselines_alone_can_be_measured(world, tmp_path):
    config = CONFIG.model_copy(update={"seen_items": "keep"})
    rank_baselines(world[0], config, tmp_path)
    merge(tmp_path, world[0], config, tmp_path / "out")
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert result["comparisons"] == []
    assert "seen_dropped" in result["metrics"]["itemcf"]
    assert "seen_kept" not in result["metrics"]["itemcf"]


def test_baselines_never_learn_from_validation_or_test(world, tmp_path):
    """The same lists come out when validation and test targets are other items."""
    prepared = shutil.copytree(world[0], tmp_path / "prepared")
    for name in ("valid", "test"):
        table = tables.read_table(prepared / f"{name}.parquet", tables.TARGETS)
        targets = (table["target"].to_numpy() + 1) % NUM_ITEMS
        table = table.set_column(table.column_names.index("target"), table.schema.field("target"), [targets])
        tables.write_table(table, prepared / f"{name}.parquet", tables.TARGETS)
    lists = []
    for i, folder in enumerate((world[0], prepared)):
        rank_baselines(folder, CONFIG, tmp_path / str(i))
        files = sorted((tmp_path / str(i)).glob("*.parquet"))
        lists.append([tables.read_table(f)["items"].to_pylist() for f in files])
    assert lists[0] == lists[1]
    assert len(lists[0]) == 6
    counts = tables.read_table(world[0] / "catalogue.parquet")["train_count"].to_numpy()
    popular = tables.read_table(tmp_path / "0" / "popularity.keep.0000000000.parquet")["items"].to_pylist()
    assert popular == [np.argsort(-counts, kind="stable")[: CONFIG.beam_width].tolist()] * NUM_USERS


def test_a_part_keeps_lists_ranks_and_scores(world, tmp_path):
    rows = read_rows(world[0], "test", slice(0, 2))
    items = np.array([[rows.targets[0], 3, -1], [-1, -1, -1]], dtype=np.int32)
    write_part(tmp_path, "sft", "drop", 0, rows, items, np.where(items >= 0, -1.5, -np.inf))
    table = tables.read_table(tmp_path / "sft.drop.0000000000.parquet", tables.PREDICTIONS)
    assert table["rank"].to_pylist() == [0, -1] == target_ranks(items, rows.targets).tolist()
    assert table["items"].to_pylist() == [[rows.targets[0], 3], []]
    assert table["scores"].to_pylist() == [[-1.5, -1.5], []]


def test_ragged_columns_survive_empty_rows_and_slices(world):
    table = tables.read_table(world[0] / "histories.parquet", columns=["items"])
    expected = table["items"].to_pylist()
    assert [h.tolist() for h in ragged(table["items"])] == expected
    assert [h.tolist() for h in ragged(table.slice(3, 4)["items"])] == expected[3:7]
    assert ragged(table.slice(0, 0)["items"]) == []


def test_ids_are_read_from_the_folder_or_the_file(world):
    ids = read_sids(world[1])
    assert ids.shape == (NUM_ITEMS, 3)
    np.testing.assert_array_equal(ids, read_sids(world[1] / "sids.parquet"))
    assert len(np.unique(ids, axis=0)) == NUM_ITEMS


def test_two_baselines_of_a_kind_have_two_names():
    baselines = EvaluateConfig(baselines=["itemcf", {"name": "itemcf", "options": {"history_decay": 0.5}}]).baselines
    assert baseline_names(baselines) == ["itemcf", "itemcf_2"]


@pytest.mark.parametrize("settings", [{"ks": [50]}, {"ks": []}, {"ks": [5, 5]}, {"beam_width": 5}])
def test_cutoffs_must_fit_the_list(settings):
    with pytest.raises(ValidationError, match="beam_width"):
        EvaluateConfig(**settings)


def test_models_and_baselines_are_measured_on_the_same_sample_of_the_users(world, finished, tmp_path):
    config = CONFIG.model_copy(update={"sample_users": 5})
    for bounds in shards(world[0], 2, "test", 5):
        decode(world, tmp_path / "parts", bounds, config=config)
    rank_baselines(world[0], config, tmp_path / "baselines")
    merge(tmp_path / "parts", world[0], config, tmp_path / "out", baselines=tmp_path / "baselines")
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert result["protocol"]["sample"] == {"users": 5, "of_users": NUM_USERS, "of_rows": NUM_USERS, "seed": 0}
    assert (result["protocol"]["test_rows"], result["protocol"]["test_users"]) == (5, 5)
    assert "sample" not in finished[1]["protocol"]
    table = tables.read_table(tmp_path / "out" / "predictions.parquet", tables.PREDICTIONS)
    lists = {(r["model"], r["seen_items"], r["user"]): r["items"] for r in table.to_pylist()}
    whole = {(r["model"], r["seen_items"], r["user"]): r["items"] for r in finished[3].to_pylist()}
    assert len({user for _, _, user in lists}) == 5
    assert len(lists) == 5 * 2 * (1 + len(CONFIG.baselines))
    for key, items in lists.items():
        assert items == whole[key]


def test_predictions_of_several_parts_are_those_of_one(world, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("genrec.measure.baselines._PART_ROWS", 5)
    rank_baselines(world[0], CONFIG, tmp_path / "baselines")
    assert len(list((tmp_path / "baselines").glob("popularity.drop.*.parquet"))) == 3
    merge(tmp_path / "parts", world[0], CONFIG, tmp_path / "out", baselines=tmp_path / "baselines")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    assert metrics == {name: finished[1]["metrics"][name] for name in metrics}
    assert len(metrics) == len(CONFIG.baselines)
