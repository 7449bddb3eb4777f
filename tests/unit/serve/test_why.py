"""Why an item is recommended: parts that add up to the served score, history items by leave one out, the path."""

import math

import numpy as np
import pytest

from genrec.errors import DataError
from genrec.serve.item_score import item_scores
from genrec.serve.query import Query
from genrec.serve.why import explain, newest_distinct
from tests.support import serve_tiny
from tests.support.scored_tiny import NUM_ITEMS, tiny_engine

MODELS = [(None, 0.0), (0.0, 0.4), (0.7, 0.0), (0.7, 0.4), (1.0, 0.4), (1.0, 1.0)]  # dense head's share, table's in it
HISTORY = ["i3", "i8", "i1", "i8"]


@pytest.mark.parametrize(("weight", "share"), MODELS)
@pytest.mark.parametrize("history", [HISTORY, ["i12"], [f"i{i}" for i in range(30)], ["i38", "i39"]])
def test_the_score_explained_is_the_score_served(weight, share, history):
    engine = tiny_engine(weight, share)
    served = engine.answer([Query(history, k=NUM_ITEMS, keep_seen=True)])[0].items
    for item in served[:: NUM_ITEMS // 8]:
        assert explain(engine, Query(history), item.item_id).score == pytest.approx(item.score, abs=1e-3)


def test_the_score_explained_is_the_score_served_by_a_model_that_reads_items_and_prefixes():
    engine = serve_tiny.engine(beam_width=30)
    for item in engine.answer([Query(HISTORY, k=30, keep_seen=True)])[0].items[::5]:
        assert explain(engine, Query(HISTORY), item.item_id).score == pytest.approx(item.score, abs=1e-3)


@pytest.mark.parametrize(("weight", "share"), MODELS)
def test_the_points_of_the_parts_add_up_to_the_score(weight, share):
    engine = tiny_engine(weight, share)
    for item in ("i0", "i9", "i22", "i39"):
        why = explain(engine, Query(HISTORY), item)
        assert why.even_score == pytest.approx(-math.log(NUM_ITEMS))
        assert sum(part.points for part in why.parts) == pytest.approx(why.score - why.even_score, abs=1e-9)
        assert sum(part.share for part in why.parts) == pytest.approx(1)


def test_a_part_says_what_the_model_says_by_that_part_alone():
    engine = tiny_engine(0.7, 0.4)
    log_probs = {part.name: part.log_prob for part in explain(engine, Query(HISTORY), "i9").parts}
    for name, weight, share in (("ids", None, 0), ("dense", 1.0, 0.0), ("transitions", 1.0, 1.0)):
        alone = explain(tiny_engine(weight, share), Query(HISTORY), "i9")
        assert log_probs[name] == pytest.approx(alone.score, abs=1e-4)


def test_the_score_is_the_stated_mixture_of_the_parts():
    weight, share = 0.7, 0.4
    parts = {part.name: part for part in explain(tiny_engine(weight, share), Query(HISTORY), "i9").parts}
    q = (1 - share) * math.exp(parts["dense"].log_prob) + share * math.exp(parts["transitions"].log_prob)
    score = (1 - weight) * parts["ids"].log_prob + weight * math.log(q)
    assert explain(tiny_engine(weight, share), Query(HISTORY), "i9").score == pytest.approx(score)
    together = weight * (math.log(q) + math.log(NUM_ITEMS))
    assert parts["transitions"].points == pytest.approx(together * share * math.exp(parts["transitions"].log_prob) / q)
    assert [part.share for part in parts.values()] == pytest.approx([0.3, 0.7 * 0.6, 0.7 * 0.4])


def test_a_history_that_nothing_followed_has_no_transitions():
    why = explain(tiny_engine(), Query(["i38", "i39"]), "i2")
    assert [(part.name, round(part.share, 6)) for part in why.parts] == [("ids", 0.3), ("dense", 0.7)]


def test_a_transition_that_was_never_seen_adds_nothing():
    parts = {part.name: part for part in explain(tiny_engine(), Query(["i3"]), "i30").parts}
    assert (parts["transitions"].log_prob, parts["transitions"].points) == (-math.inf, 0)


def test_the_fall_of_an_item_is_the_score_without_it():
    engine = tiny_engine()
    why = explain(engine, Query(HISTORY), "i9")
    assert {one.item_id for one in why.history} == {"i3", "i8", "i1"}
    for one in why.history:
        rest = [item for item in HISTORY if item != one.item_id]
        assert one.fall == pytest.approx(why.score - explain(engine, Query(rest), "i9").score, abs=1e-5)
    falls = [one.fall for one in why.history]
    assert falls == sorted(falls, reverse=True)


def test_the_item_that_the_transitions_lead_from_comes_first():
    engine = tiny_engine(dense_weight=1.0, share=0.9)
    for start in (4, 10, 20):
        why = explain(engine, Query(["i30", f"i{start}", "i33"]), f"i{start + 1}")
        assert why.history[0].item_id == f"i{start}"
        assert why.history[0].title == engine.catalogue.titles[start]
        assert why.history[0].fall > 1


def test_without_an_item_of_the_window_an_older_one_is_read():
    engine = tiny_engine()
    window = engine.policy.max_history
    history = [f"i{i}" for i in range(window + 3)]
    why = explain(engine, Query(history), "i9")
    assert len(why.history) == window
    oldest = next(one for one in why.history if one.item_id == history[3])
    slid = [*history[:3], *history[4:]]
    assert oldest.fall == pytest.approx(why.score - explain(engine, Query(slid), "i9").score, abs=1e-5)


def test_a_history_of_one_item_can_lose_it():
    why = explain(tiny_engine(), Query(["i3"]), "i4")
    assert [one.item_id for one in why.history] == ["i3"]
    assert math.isfinite(why.history[0].fall)


@pytest.mark.parametrize("history", [[], ["gone", "never-there"]])
def test_popular_items_are_explained_by_their_popularity(history):
    engine = tiny_engine()
    why = explain(engine, Query(history), "i0")
    assert (why.source, why.parts, why.history) == ("popular", [], [])
    assert why.score == pytest.approx(engine.answer([Query(history)])[0].items[0].score)
    assert why.path[-1].title == "Red mug 0"


def test_the_path_is_that_of_the_semantic_id_and_the_stock_does_not_change_it():
    engine = tiny_engine()
    why = explain(engine, Query(HISTORY), "i9")
    assert [step.codes for step in why.path] == [why.sid[:1], why.sid[:2], why.sid]
    assert (why.path[-1].title, why.path[-1].num_items) == ("Blue tray 9", 1)
    without = engine.with_catalogue(engine.catalogue.with_stock({"i9": False}))
    assert explain(without, Query(HISTORY), "i9").path == why.path


def test_an_unknown_item_is_named():
    with pytest.raises(DataError, match="item_id: no item 'gone'"):
        explain(tiny_engine(), Query(HISTORY), "gone")


def test_unknown_history_items_are_skipped():
    engine = tiny_engine()
    assert explain(engine, Query(["gone", *HISTORY]), "i9") == explain(engine, Query(HISTORY), "i9")


def test_the_scores_of_a_batch_are_those_of_its_rows_alone():
    engine = tiny_engine()
    histories = [np.array(h, dtype=np.int64) for h in ([3, 8], [1], [], [5, 6, 7, 8, 9, 10, 11])]
    together = item_scores(engine.policy, histories, engine.catalogue.sids, 9).scores
    alone = [item_scores(engine.policy, [h], engine.catalogue.sids, 9).scores[0] for h in histories]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_history_is_taken_newest_first_each_item_once():
    assert newest_distinct(np.array([3, 8, 1, 8, 3, 5])).tolist() == [5, 3, 8, 1]
