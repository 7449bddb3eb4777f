"""Ranked lists: the ranker's order, filters, what follows the candidates, and what is missing."""

import logging
from collections import Counter

import numpy as np
import pytest

from genrec.errors import DataError, GenrecError
from genrec.rank import ranking as rankings
from genrec.rank.features.parts.compute import as_table
from genrec.rank.features.parts.queries import Queries
from genrec.rank.retrieval import Retrieval
from genrec.rank.samples import from_frame
from genrec.rank.scored import Scored
from genrec.serve.new_items import NewItem
from genrec.serve.query import Filter, Query
from genrec.serve.ranked.channels import worth_asking
from genrec.serve.ranked.engine import RankedEngine
from genrec.serve.ranked.lists import FAILED, check_fits
from genrec.serve.recommender import load_engine
from genrec.serve.why import explain
from tests.support.evaluate_tiny import NUM_ITEMS
from tests.support.ranked_serving import STEPS, plain, write_ranked
from tests.support.serve_tiny import FixedIds

HISTORY = ["item 3", "item 8", "item 1"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_ranked(tmp_path_factory.mktemp("ranked") / "shop")


@pytest.fixture
def engine(files):
    return load_engine(files, "cpu")


def ids(answer):
    return [item.item_id for item in answer.items]


def test_the_candidates_come_in_the_order_of_the_mean_of_all_folds(files, engine):
    history = engine.catalogue.numbers(HISTORY)
    ranking = rankings.load(files.ranking / "ranking")
    retrieval = worth_asking(Retrieval.load(files.ranking / "retrieval"), ranking.importance())
    generator = engine._generator
    found = retrieval(Queries([history]), generator, [history])  # reads the prompt anew
    samples = from_frame(as_table(found.features(), found.candidates, np.array([0]), np.array([-1])))
    scores = np.mean([ranker.scores(samples) for ranker in ranking.rankers], axis=0)
    wanted = samples.item[np.lexsort((np.arange(len(samples)), -scores))]
    (answer,) = engine.answer([Query(HISTORY, 5)])
    assert ids(answer) == [engine.catalogue.item_ids[item] for item in wanted[:5]]
    probability = ranking.curve.probability(np.sort(scores)[::-1][:5])
    never_rising = np.minimum.accumulate(np.log(probability))
    np.testing.assert_allclose([item.score for item in answer.items], never_rising, rtol=1e-4)


def test_queries_searched_together_get_the_lists_they_get_alone(engine):
    queries = [Query(HISTORY, 5), Query(["item 2"], 9), Query([], 4), Query(["item 5", "item 6"], 5, keep_seen=True)]
    together = engine.answer(queries)
    assert [ids(answer) for answer in together] == [ids(engine.answer([query])[0]) for query in queries]


@pytest.mark.parametrize("k", [1, 10, NUM_ITEMS])
def test_what_the_generator_found_follows_the_candidates_without_repeats_and_scores_never_rise(engine, k):
    (answer,) = engine.answer([Query(HISTORY, k)])
    assert len(ids(answer)) == len(set(ids(answer))) == min(k, NUM_ITEMS - len(HISTORY))
    assert not set(ids(answer)) & set(HISTORY)
    scores = [item.score for item in answer.items]
    assert np.isfinite(scores).all()
    assert scores == sorted(scores, reverse=True)
    counted = engine.ranking.counted["list longer than its candidates"]
    assert counted == (1 if k == NUM_ITEMS else 0)


def test_filters_exclusions_and_stock_hold(engine):
    let = [f"item {n}" for n in range(4, 14)]
    (answer,) = engine.answer([Query(HISTORY, 20, exclude=["item 5"], allow=Filter(items=let))])
    assert sorted(ids(answer)) == sorted(set(let) - {"item 5", "item 8"})
    (nothing,) = engine.answer([Query(HISTORY, 5, allow=Filter(items=[]))])
    assert (ids(nothing), nothing.source) == ([], "none")
    (all_seen,) = engine.answer([Query(HISTORY, 5, allow=Filter(items=HISTORY))])
    assert ids(all_seen) == []
    best = ids(engine.answer([Query(HISTORY, 1)])[0])[0]
    without = engine.with_catalogue(engine.catalogue.with_stock({best: False}))
    assert best not in ids(without.answer([Query(HISTORY, NUM_ITEMS)])[0])


def test_a_large_filter_of_a_category_is_none_to_those_beside_it(engine, monkeypatch):
    monkeypatch.setattr("genrec.serve.engine._FEW", 3)
    few = {f"item {n}" for n in range(10, 20)}
    limited, free = engine.answer([Query(HISTORY, 9, allow=Filter(items=few)), Query(HISTORY, 9)])
    assert set(ids(limited)) <= few
    assert ids(free) == ids(engine.answer([Query(HISTORY, 9)])[0])


def test_new_users_get_popular_items_and_unknown_ids_are_named_as_without_a_ranking(files, engine):
    other = load_engine(plain(files), "cpu")
    queries = [Query([], 5), Query(["no such item"], 5)]
    assert engine.answer(queries) == other.answer(queries)
    (answer,) = engine.answer([Query(["no such item", *HISTORY], 5)])
    assert answer.unknown == ["no such item"]
    assert ids(answer) == ids(engine.answer([Query(HISTORY, 5)])[0])


def test_items_that_came_in_later_can_be_recommended_and_be_the_whole_history(engine):
    catalogue = engine.catalogue.with_items([NewItem("new", "New"), NewItem("other", "Other")], FixedIds())
    larger = engine.with_catalogue(catalogue)
    assert isinstance(larger, RankedEngine)
    listed = ids(larger.answer([Query(HISTORY, NUM_ITEMS + 2)])[0])
    assert {"new", "other"} <= set(listed)
    assert len(ids(larger.answer([Query(["new"], 5)])[0])) == 5
    assert not larger.ranking.counted[FAILED]


def test_a_feature_that_is_missing_has_its_typical_value_and_is_counted(engine):
    engine.answer([Query(HISTORY, 5)])
    features = engine.ranking._features
    features.names += ("forgotten",)
    features._typical = np.append(features._typical, np.float32(0.25))
    features._never_missing = np.append(features._never_missing, True)
    frame = np.full((2, len(features.names)), np.nan, dtype=np.float32)
    filled = features._filled(frame)
    assert (filled[:, -1] == np.float32(0.25)).all()
    assert np.isnan(filled[:, ~features._never_missing]).all()
    assert features.counted["forgotten"] == 2
    assert engine.ranking.counted["candidate without the feature forgotten"] == 2


def test_what_was_unusual_can_be_asked_while_another_thread_ranks(engine, monkeypatch):
    class Changing(Counter):
        def items(self):
            raise RuntimeError("dictionary changed size during iteration")

        def copy(self):
            return Counter(dict(self))

    monkeypatch.setattr(engine.ranking, "_events", Changing({FAILED: 2}))
    monkeypatch.setattr(engine.ranking._features, "counted", Changing({"forgotten": 1}))
    assert engine.ranking.counted == {FAILED: 2, "candidate without the feature forgotten": 1}


def test_a_channel_that_fails_costs_the_ranking_of_these_lists_alone_and_no_model_goes_into_service_so(
    files, engine, caplog, monkeypatch
):
    monkeypatch.setattr(type(engine.ranking._retrieval.channels["popularity"]), "top", None)
    with caplog.at_level(logging.ERROR):
        (answer,) = engine.answer([Query(HISTORY, 5)])
    found = engine._generator.search([engine.catalogue.numbers(HISTORY)], 8, [engine.catalogue.numbers(HISTORY)])
    assert ids(answer) == [engine.catalogue.item_ids[item] for item in found.items[0, :5]]
    assert engine.ranking.counted[FAILED] == 1
    assert "the generator's list is served" in caplog.text
    with pytest.raises(GenrecError, match=r"service\.rank=false"):
        engine.warm_up()


def test_a_ranking_of_another_catalogue_is_refused(engine):
    with pytest.raises(DataError, match="different runs"):
        check_fits(engine.ranking, NUM_ITEMS + 1, "here")


def test_why_says_that_the_parts_are_the_generators_and_they_add_up(engine):
    found = explain(engine, Query(HISTORY), "item 9")
    assert found.ranked
    assert sum(part.points for part in found.parts) == pytest.approx(found.score - found.even_score)


def test_the_steps_after_the_ranker_choose_the_first_places(tmp_path):
    files = write_ranked(tmp_path / "shop", rerank=STEPS)
    engine = load_engine(files, "cpu")
    engine.warm_up()
    (answer,) = engine.answer([Query(HISTORY, NUM_ITEMS)])
    assert len(set(ids(answer))) == NUM_ITEMS - len(HISTORY)
    history = engine.catalogue.numbers(HISTORY)
    found = engine._generator.search([history], 8, [history], keep_reads=True)
    retrieved = engine.ranking._retrieval(Queries([history]), engine._generator, [history], found=found)
    samples = engine.ranking._features.samples(retrieved)
    steps = engine.ranking._steps.of(engine.catalogue)
    first, _, _ = steps.lists(Scored(engine.ranking._ranking, samples), 1, 5)
    assert ids(answer)[:5] == [engine.catalogue.item_ids[item] for item in first[0]]
    for k in (1, 3, 5):
        assert ids(engine.answer([Query(HISTORY, k)])[0]) == ids(answer)[:k]
    newer = engine.with_catalogue(engine.catalogue.with_items([NewItem("new", "New")], FixedIds()))
    assert len(newer.answer([Query(HISTORY, 5)])[0].items) == 5
    assert not newer.ranking.counted[FAILED]


@pytest.mark.parametrize("steps", [STEPS, ["dpp"]], ids=["fusion and caps", "dpp"])
def test_lists_that_are_all_empty_are_no_failure_of_the_steps_and_do_not_keep_a_model_out_of_service(tmp_path, steps):
    engine = load_engine(write_ranked(tmp_path / "shop", rerank=steps), "cpu")
    all_seen = Query(HISTORY, 5, allow=Filter(items=HISTORY))
    assert [ids(answer) for answer in engine.answer([all_seen, all_seen])] == [[], []]
    assert engine.ranking.counted["re-ranking, lists without a candidate"] == 2
    some, none = engine.answer([Query(HISTORY, 5), all_seen])
    assert (ids(some), ids(none)) == (ids(engine.answer([Query(HISTORY, 5)])[0]), [])
    sold_out = engine.with_catalogue(engine.catalogue.with_stock(dict.fromkeys(engine.catalogue.item_ids, False)))
    sold_out.warm_up()
    assert ids(sold_out.answer([Query(HISTORY, 5)])[0]) == []
    assert not engine.ranking.counted[FAILED]
