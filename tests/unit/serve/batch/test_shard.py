"""Lists of a shard: those of the engine, inside the filters; a finished shard stays as it is."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from genrec.config import RecommendConfig
from genrec.errors import DataError, GenrecError
from genrec.serve.batch import shard as module
from genrec.serve.batch.collect import collect
from genrec.serve.batch.shard import engine_of, finished
from genrec.serve.query import Query
from genrec.serve.ranked.lists import FAILED
from genrec.tables import RECOMMENDATIONS_FILE
from tests.support.batch_tiny import batch, plan_of, rows_of, search, write_events, write_model


def _item(number: int) -> str:
    """An id: one that the catalogue does not know from 30 on."""
    return f"i{number}"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ingest(tmp_path_factory):
    """Ten users of random histories, the last of whom has met unknown items alone; u3's newest purchase is item 29."""
    rng = np.random.default_rng(0)
    events = []
    for user in range(10):
        items = rng.permutation(29)[: rng.integers(1, 8)] if user < 9 else [90, 91]
        events += [(f"u{user}", _item(item), day, "click") for day, item in enumerate(items)]
    events += [("u3", _item(29), 40, "purchase"), ("u4", _item(0), 0, "purchase")]
    return write_events(tmp_path_factory.mktemp("ingest"), events, row_group_size=7)


def _by_engine(model, ingest, config, **query):
    """What the engine answers to whole histories, by user."""
    from genrec.tables import INTERACTIONS_FILE

    histories: dict[str, list[str]] = {}
    for row in INTERACTIONS_FILE.read(ingest).to_pylist():
        history = histories.setdefault(row["user_id"], [])
        if row["item_id"] not in history:
            history.append(row["item_id"])
    engine = engine_of(model, config, "fp32", "cpu")
    answers = engine.answer([Query(history, config.k, **query) for history in histories.values()])
    return dict(zip(histories, answers, strict=True))


@pytest.mark.parametrize("seen_items", ["drop", "keep"])
def test_the_lists_are_those_of_the_engine_for_whole_histories(model, ingest, tmp_path, seen_items):
    config = RecommendConfig(k=4, beam_width=6, shard_size=4, seen_items=seen_items)
    rows, summary = batch(ingest, model, config, tmp_path)
    answers = _by_engine(model, ingest, config, keep_seen=seen_items == "keep")
    assert list(rows) == list(answers)
    for user, answer in answers.items():
        assert rows[user]["items"] == [item.item_id for item in answer.items], user
        assert rows[user]["scores"] == pytest.approx([item.score for item in answer.items], abs=1e-5)
        assert rows[user]["source"] == answer.source
        assert rows[user]["model_key"] == model.key
    assert (summary["users"], summary["by_model"], summary["by_popularity"], summary["parts"]) == (10, 9, 1, 3)
    assert (summary["skipped_events"], summary["short"]) == (2, 0)
    assert {row["made_at"].timestamp() * 1000 for row in rows.values()} == {summary["made_at_ms"]}


def test_only_items_in_stock_and_of_the_categories_come_out_and_short_lists_are_counted(model, ingest, tmp_path):
    config = RecommendConfig(
        k=6, beam_width=6, in_stock=[_item(n) for n in range(12)], categories=["garden"], seen_items="keep"
    )
    rows, summary = batch(ingest, model, config, tmp_path)
    engine = engine_of(model, config, "fp32", "cpu")
    let = {i for i, there in zip(engine.catalogue.item_ids, engine.catalogue.in_stock, strict=True) if there}
    assert 0 < len(let) < 6
    assert all(sorted(row["items"]) == sorted(let) for row in rows.values())
    assert summary["short"] == 10


def test_a_recent_purchase_never_comes_back_and_an_old_one_may(model, ingest, tmp_path):
    config = RecommendConfig(k=30, beam_width=30, seen_items="keep", not_bought_days=5)
    rows, _ = batch(ingest, model, config, tmp_path)
    assert set(rows["u3"]["items"]) == {_item(n) for n in range(29)}
    assert {user for user, row in rows.items() if _item(29) not in row["items"]} == {"u3"}
    assert _item(0) in rows["u4"]["items"]


def test_a_user_for_whom_nothing_is_left_gets_an_empty_list(model, ingest, tmp_path):
    rows, summary = batch(ingest, model, RecommendConfig(k=2, beam_width=6, in_stock=[_item(29)]), tmp_path)
    assert {user: (row["items"], row["source"]) for user, row in rows.items() if row["items"] != [_item(29)]} == {
        "u3": ([], "none")
    }
    assert (summary["by_model"], summary["by_popularity"], summary["users"]) == (8, 1, 10)


def test_unknown_users_of_a_file_get_popular_items_and_are_named(model, ingest, tmp_path):
    file = tmp_path / "users.csv"
    file.write_text("user_id\nu2\nnobody\nu2\n")
    rows, summary = batch(ingest, model, RecommendConfig(k=3, beam_width=6, users=str(file)), tmp_path)
    assert rows["nobody"]["source"] == "popular"
    assert len(rows["nobody"]["items"]) == 3
    assert rows["u2"] == {**rows["u2"], "source": "model"}
    assert (summary["unknown_users"], summary["unknown_named"], summary["repeated_users"]) == (1, ["nobody"], 1)


def test_a_finished_shard_is_not_searched_again_and_the_bytes_are_those_of_a_run_that_was_not_killed(
    model, ingest, tmp_path, monkeypatch
):
    config = RecommendConfig(k=4, beam_width=6, shard_size=3)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    plan = plan_of(ingest, model, config, whole)
    for shard in range(4):
        search(ingest, model, config, plan, shard, whole)
    killed.mkdir()
    (killed / "plan.json").write_bytes((whole / "plan.json").read_bytes())
    search(ingest, model, config, plan, 0, killed)
    monkeypatch.setattr(module, "write_whole", _killed)
    with pytest.raises(KeyboardInterrupt):
        search(ingest, model, config, plan, 1, killed)  # between the part and its record
    monkeypatch.undo()
    assert [finished(killed, shard) is not None for shard in range(4)] == [True, False, False, False]
    before = RECOMMENDATIONS_FILE.part(killed, 0).stat().st_mtime_ns
    resumed = plan_of(ingest, model, config, killed)
    for shard in (s for s in range(4) if finished(killed, s) is None):
        search(ingest, model, config, resumed, shard, killed)
    for folder in (whole, killed):
        (folder / "out").mkdir()
        collect(resumed, folder, folder / "out")
    parts = [[p.read_bytes() for p in RECOMMENDATIONS_FILE.parts(folder / "out")] for folder in (whole, killed)]
    assert parts[0] == parts[1]
    assert RECOMMENDATIONS_FILE.part(killed, 0).stat().st_mtime_ns == before
    assert len(rows_of(killed / "out")) == 10


def _killed(path, content):
    raise KeyboardInterrupt


def test_a_damaged_part_counts_as_not_finished_and_is_never_collected(model, ingest, tmp_path):
    config = RecommendConfig(k=4, beam_width=6, shard_size=20)
    plan = plan_of(ingest, model, config, tmp_path)
    search(ingest, model, config, plan, 0, tmp_path)
    part = RECOMMENDATIONS_FILE.part(tmp_path, 0)
    part.write_bytes(part.read_bytes()[:-1])
    assert finished(tmp_path, 0) is None
    with pytest.raises(GenrecError, match="is damaged; run it again"):
        collect(plan, tmp_path, tmp_path)


def test_a_model_is_loaded_once_for_all_shards_of_a_process(model, ingest, tmp_path, monkeypatch):
    calls = []
    load = module.load_engine
    monkeypatch.setattr(module, "load_engine", lambda files, device, limits: calls.append(files) or load(files, device))
    module._loaded.cache_clear()
    batch(ingest, model, RecommendConfig(k=2, beam_width=6, shard_size=2), tmp_path)
    assert len(calls) == 1


def test_no_active_user_at_all_is_an_error_that_says_so(model, tmp_path):
    write_events(tmp_path, [("a", _item(0), 0, "click"), ("b", _item(1), 90, "click")])
    file = tmp_path / "users.txt"
    file.write_text("a\n")
    with pytest.raises(DataError, match=r"recommend\.active_days: no user has an event in these days"):
        batch(tmp_path, model, RecommendConfig(active_days=3, users=str(file)), tmp_path / "b")


def test_a_record_counts_what_its_part_holds(model, ingest, tmp_path):
    config = RecommendConfig(k=4, beam_width=6, shard_size=20)
    plan = plan_of(ingest, model, config, tmp_path)
    search(ingest, model, config, plan, 0, tmp_path)
    record = json.loads((tmp_path / "shard-00000.json").read_text())
    assert record["by_model"] + record["by_popularity"] == record["users"] == 10


def test_a_shard_whose_ranking_fails_is_not_finished(model, ingest, tmp_path, monkeypatch):
    config = RecommendConfig(k=4, beam_width=6)
    counted = Counter({FAILED: 3})  # of an earlier shard of this process
    monkeypatch.setattr(
        engine_of(model, config, "fp32", "cpu"), "ranking", SimpleNamespace(counted=counted), raising=False
    )
    plan = plan_of(ingest, model, config, tmp_path)
    made = module.make_lists

    def fails(*arguments):
        counted[FAILED] += 2
        return made(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "make_lists", fails)
        with pytest.raises(DataError, match=r"failed for 2 of 10 users.*service\.rank=false"):
            search(ingest, model, config, plan, 0, tmp_path)
    assert finished(tmp_path, 0) is None
    search(ingest, model, config, plan, 0, tmp_path)
    assert finished(tmp_path, 0)
