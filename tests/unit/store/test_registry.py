"""Which model is in service: promotion, history, going back, and the comparison behind it."""

import json

import numpy as np
import pyarrow as pa
import pytest

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.errors import DataError, GenrecError
from genrec.measure.incumbent import RANKS, compare, in_words, keep_ranks, translate_test_rows
from genrec.measure.predictions import decode_shard, read_test
from genrec.metrics import ndcg
from genrec.store.local import Store
from genrec.store.registry import CURRENT, Registry, names
from tests.support.evaluate_tiny import write_model, write_prepared, write_sid_artifact
from tests.support.targets import write_targets


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def _keys(store, *contents):
    """Keys of artifacts with these contents, by a stage's name each."""
    found = {}
    for stage, content in zip(("sid", "rl"), contents, strict=True):
        with store.scratch() as folder:
            (folder / "f.txt").write_text(content)
            more = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
            found[stage] = store.commit(f"{stage}-{content}", stage, folder, **more).key
    return found


def test_nothing_is_in_service_at_first(store):
    assert Registry(store, "shop").current() is None
    assert names(store) == []
    with pytest.raises(GenrecError, match="no model is in service under 'shop'"):
        Registry(store, "shop").roll_back()


def test_the_newest_promotion_is_in_service_and_the_history_stays(store):
    registry = Registry(store, "shop")
    for day in ("a", "b"):
        registry.promote(f"run-{day}", _keys(store, day, day), f"day {day}", {"new": 0.5})
    assert [r.run_id for r in registry.history()] == ["run-a", "run-b"]
    current = registry.current()
    assert (current.number, current.run_id, current.keys["rl"]) == (2, "run-b", "rl-b")
    assert json.loads((store.root / "service" / "shop" / CURRENT).read_text())["run_id"] == "run-b"
    assert Registry(store, "other").current() is None
    assert names(store) == ["shop"]


def test_rolling_back_twice_goes_back_two_models_and_a_promotion_after_it_counts(store):
    registry = Registry(store, "shop")
    for day in "abc":
        registry.promote(f"run-{day}", _keys(store, day, day), "")
    assert registry.roll_back().run_id == "run-b"
    assert registry.roll_back().run_id == "run-a"
    with pytest.raises(GenrecError, match="nothing to go back to; the history has the changes 1, 2, 3, 4, 5"):
        registry.roll_back()
    registry.promote("run-d", _keys(store, "d", "d"), "")
    assert registry.roll_back().run_id == "run-a"
    assert registry.roll_back(to=3).run_id == "run-c"
    assert [r.action for r in registry.history()].count("roll_back") == 4


def test_a_model_with_a_damaged_artifact_is_not_put_in_service(store):
    registry = Registry(store, "shop")
    registry.promote("run-a", _keys(store, "a", "a"), "")
    keys = _keys(store, "b", "b")
    (store.object_path("rl-b") / "f.txt").write_text("tampered")
    with pytest.raises(GenrecError, match=r"the artifact of rl \(rl-b\) is not whole"):
        registry.promote("run-b", keys, "")
    assert registry.current().run_id == "run-a"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "x" * 61])
def test_a_name_that_is_no_name_is_refused(store, name):
    with pytest.raises(GenrecError, match="no name of a model in service"):
        Registry(store, name)


def _test_rows(folder, item_ids, rows):
    folder.mkdir()
    tables.write_table(
        pa.table(
            {
                "item": pa.array(range(len(item_ids)), pa.int32()),
                "item_id": item_ids,
                **{n: [""] * len(item_ids) for n in ("title", "description", "brand")},
                "categories": pa.array([[]] * len(item_ids), pa.list_(pa.string())),
                "train_count": pa.array([1] * len(item_ids), pa.int32()),
            }
        ),
        folder / "catalogue.parquet",
        tables.CATALOGUE,
    )
    number = item_ids.index
    write_targets(folder, test=[(user, [number(i) for i in h], number(t)) for user, (h, t) in enumerate(rows)])
    return folder


def test_test_rows_are_told_in_the_item_numbers_of_the_model_in_service(tmp_path):
    rows = [(["new", "a", "b"], "c"), (["new"], "a"), (["b"], "new"), (["c", "new", "new", "a"], "b")]
    new = _test_rows(tmp_path / "new", ["new", "c", "b", "a"], rows)
    old = _test_rows(tmp_path / "old", ["a", "gone", "b", "c"], [])
    counts = translate_test_rows(new, old, tmp_path / "out")
    found = read_test(tmp_path / "out")
    assert [h.tolist() for h in found.histories] == [[0, 2], [], [2], [3, 0]]
    assert found.targets.tolist() == [3, 0, 4, 2]  # 4: behind the last item, in no list
    assert counts == {"rows": 4, "unknown_targets": 1, "unknown_in_histories": 4}


def test_a_model_on_the_rows_it_was_made_for_scores_the_same_in_service(tmp_path):
    prepared, sids = write_prepared(tmp_path / "prepared"), write_sid_artifact(tmp_path / "sids")
    model = write_model(tmp_path / "model", prepared)
    config = EvaluateConfig(beam_width=5, ks=[5])
    translate_test_rows(prepared, prepared, tmp_path / "same")
    bounds = (0, len(read_test(prepared)))
    for folder, name in ((prepared, "rl"), (tmp_path / "same", "in_service")):
        decode_shard(folder, sids, model, None, name, config, bounds, tmp_path / "parts")
    keep_ranks(tmp_path / "parts", tmp_path / "same", config, tmp_path)
    expected = tables.read_table(tmp_path / "parts" / "rl.drop.0000000000.parquet")["rank"]
    assert tables.read_table(tmp_path / "ranks.parquet", RANKS)["rank"].to_pylist() == expected.to_pylist()


def _evaluated(folder, new, old, users=None):
    """An evaluate artifact whose last model has these ranks, and ranks of a model in service."""
    folder.mkdir(exist_ok=True)
    users = np.arange(len(new)) if users is None else users
    frames = []
    for model, ranks in (("sft", np.zeros(len(new), int)), ("rl", new)):
        for protocol in ("drop", "keep"):
            shown = ranks if protocol == "drop" else np.full(len(new), -1)
            columns = {"model": [model] * len(new), "seen_items": [protocol] * len(new), "rank": shown, "user": users,
                       "target": users, "items": [[]] * len(new), "scores": [[]] * len(new)}  # fmt: skip
            frames.append(pa.table(columns).select(tables.PREDICTIONS.names).cast(tables.PREDICTIONS))
    tables.write_table(pa.concat_tables(frames), folder / "predictions.parquet", tables.PREDICTIONS)
    tables.write_table(
        pa.table({"user": users, "rank": old}).select(RANKS.names).cast(RANKS), folder / "ranks.parquet", RANKS
    )
    return folder


def test_the_better_model_is_good_enough_and_the_figures_are_those_of_its_ranks(tmp_path):
    new, old = np.array([0, 3, -1, 1] * 20), np.array([0, 3, -1, 5] * 20)
    folder = _evaluated(tmp_path / "e", new, old)
    found = compare(folder, folder, EvaluateConfig(), 0.0)
    assert (found["new"], found["in_service"]) == (round(ndcg(new, 10).mean(), 6), round(ndcg(old, 10).mean(), 6))
    assert found["good_enough"]
    assert found["ci"][0] <= found["difference"] <= found["ci"][1]
    assert "NDCG@10" in in_words(found)
    assert "80 test rows" in in_words(found)


def test_an_equal_model_is_not_worse_and_a_worse_one_is_unless_the_loss_is_allowed(tmp_path):
    old = np.array([0, 0, 2, 4] * 10)
    same = _evaluated(tmp_path / "same", old, old)
    assert compare(same, same, EvaluateConfig(), 0.0)["good_enough"]
    worse = _evaluated(tmp_path / "worse", np.array([0, 0, 2, 5] * 10), old)
    loss = -compare(worse, worse, EvaluateConfig(), 0.0)["difference"] / ndcg(old, 10).mean()
    assert not compare(worse, worse, EvaluateConfig(), 0.0)["good_enough"]
    assert not compare(worse, worse, EvaluateConfig(), 0.9 * loss)["good_enough"]
    assert compare(worse, worse, EvaluateConfig(), 1.1 * loss)["good_enough"]


def test_other_test_rows_are_refused(tmp_path):
    one = _evaluated(tmp_path / "one", np.zeros(4, int), np.zeros(4, int))
    two = _evaluated(tmp_path / "two", np.zeros(4, int), np.zeros(4, int), users=np.arange(4) + 1)
    with pytest.raises(DataError, match="not the test rows"):
        compare(one, two, EvaluateConfig(), 0.0)
