"""Promises of the engine: lists of the evaluation, restrictions kept whatever is asked, no error for being new."""

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.search.decode import rank_users
from genrec.search.trie import Trie
from genrec.serve import engine as engine_module
from genrec.serve.query import Filter, Query
from tests.support import serve_tiny
from tests.support.lm_tiny import NUM_CODES, random_histories, tiny_policy
from tests.support.serve_tiny import CATEGORIES, NUM_ITEMS, SIDS

ENGINE = serve_tiny.engine()
IDS = ENGINE.catalogue.item_ids
some_ids = st.lists(st.sampled_from([*IDS, "unknown", "gone"]), max_size=12)


def found(query: Query, engine=ENGINE) -> list[str]:
    return [item.item_id for item in engine.answer([query])[0].items]


@pytest.mark.parametrize("policy", [serve_tiny.whole_policy(3), tiny_policy(3)], ids=["all parts", "ids alone"])
def test_lists_are_those_of_the_search_that_is_evaluated(policy):
    histories = random_histories([1, 4, 9, 2, 7], NUM_ITEMS, 5)
    items, scores = rank_users(policy, histories, SIDS, Trie.from_sids(SIDS, NUM_CODES), 6, banned=histories)
    engine = serve_tiny.engine(policy=policy)
    answers = engine.answer([Query([IDS[i] for i in history], k=6) for history in histories])
    assert [[item.item_id for item in answer.items] for answer in answers] == [[IDS[i] for i in row] for row in items]
    np.testing.assert_array_equal([[item.score for item in answer.items] for answer in answers], scores)
    shorter = engine.answer([Query([IDS[i] for i in history], k=2) for history in histories])
    assert [answer.items for answer in shorter] == [answer.items[:2] for answer in answers]


@settings(max_examples=40, deadline=None)
@given(
    history=some_ids,
    k=st.integers(0, NUM_ITEMS + 5),
    exclude=some_ids,
    only=st.none() | some_ids,
    categories=st.none() | st.lists(st.sampled_from([*CATEGORIES, "none such"]), max_size=2),
    out=some_ids,
    keep_seen=st.booleans(),
)
def test_exactly_what_may_come_out_does_and_k_of_it(history, k, exclude, only, categories, out, keep_seen):
    catalogue = ENGINE.catalogue.with_stock({item: False for item in out if item in IDS})
    query = Query(history, k, exclude, Filter(only, categories), keep_seen)
    answer = ENGINE.with_catalogue(catalogue).answer([query])[0]
    may = set(IDS) - set(exclude) - set(out) - (set() if keep_seen else set(history))
    may &= set(IDS if only is None else only)
    if categories is not None:
        may = {item for item in may if CATEGORIES[IDS.index(item) % 3] in categories}
    listed = [item.item_id for item in answer.items]
    assert len(set(listed)) == len(listed) == min(k, len(may))
    assert set(listed) <= may
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert np.isfinite(scores).all()
    assert answer.source == (("model" if set(history) & set(IDS) else "popular") if listed else "none")
    assert answer.unknown == list(dict.fromkeys(item for item in history if item not in IDS))
    assert all(item.sid == tuple(SIDS[IDS.index(item.item_id)].tolist()) for item in answer.items)


def test_filters_of_many_items_give_what_those_of_few_do(monkeypatch):
    queries = [
        Query(["i3", "i4"], k=8, allow=Filter(categories={"office"}), exclude={"i2"}),
        Query(["i2"], k=20, allow=Filter(items=IDS[4:25])),
        Query(["i9"], k=8, allow=Filter(categories={"office"})),
        Query(["i5"], k=8),
        Query(["i5"], k=8, allow=Filter(categories={"office", "garden"}, items=IDS[:20])),
    ]
    out_of_stock = ENGINE.with_catalogue(ENGINE.catalogue.with_stock({"i5": False, "i8": False}))
    few = [engine.answer(queries) for engine in (ENGINE, out_of_stock)]
    monkeypatch.setattr(engine_module, "_FEW", 2)
    many = [engine.answer(queries) for engine in (ENGINE, out_of_stock)]
    assert many == few
    assert {"i5", "i8"} & {item.item_id for item in few[0][0].items}


def test_a_list_does_not_depend_on_who_asks_beside():
    queries = [
        Query(["i3", "i4"], k=3),
        Query(["i9"], k=20, allow=Filter(categories={"office"})),
        Query([], k=4),
        Query(["i1", "nobody knows me"], k=30, keep_seen=True),
        Query(["i2"], k=0),
        Query(["i5"], k=5, allow=Filter(items=[])),
    ]
    together = ENGINE.answer(queries)
    for query, answer in zip(queries, together, strict=True):
        alone = ENGINE.answer([query])[0]
        assert [item.item_id for item in alone.items] == [item.item_id for item in answer.items]
        np.testing.assert_allclose([i.score for i in alone.items], [i.score for i in answer.items], atol=1e-5)
    assert [answer.source for answer in together] == ["model", "model", "popular", "model", "none", "none"]


def test_a_history_without_a_known_item_gets_the_popular_ones_inside_the_filter():
    answer = ENGINE.answer([Query(["who", "what", "who"], k=3, exclude={"i6"}, allow=Filter(categories={"garden"}))])[0]
    assert [item.item_id for item in answer.items] == ["i27", "i12", "i18"]  # met 6, 5 and 4 times
    assert (answer.unknown, answer.source) == (["who", "what"], "popular")
    counts = np.arange(NUM_ITEMS) % 7 + 1
    assert answer.items[0].score == pytest.approx(np.log(7 / counts.sum()))


def test_unknown_items_of_a_history_are_named_and_skipped():
    with_unknown = ENGINE.answer([Query(["i1", "x", "i2", "y", "x"], k=5)])[0]
    assert with_unknown.unknown == ["x", "y"]
    assert with_unknown.items == ENGINE.answer([Query(["i1", "i2"], k=5)])[0].items


def test_a_history_of_ten_thousand_items_counts_by_its_newest():
    long = [IDS[i % 20] for i in range(10_000)]
    assert set(found(Query(long, k=40))) == set(IDS[20:])
    assert found(Query(long, k=5, keep_seen=True)) == found(Query(long[-5:], k=5, keep_seen=True))


@pytest.mark.parametrize("wrong", [-1, 2.0, True, "3", None])
def test_a_k_that_is_no_number_of_items_is_refused(wrong):
    with pytest.raises(DataError, match="k: "):
        Query([], k=wrong)


def test_a_text_in_place_of_a_list_is_refused():
    with pytest.raises(DataError, match=r"history: 'i1'.*\['i1'\]"):
        Query("i1")
    with pytest.raises(DataError, match="exclude: 'i1'"):
        Query([], exclude="i1")
    with pytest.raises(DataError, match="categories: 'garden'"):
        Filter(categories="garden")
    with pytest.raises(DataError, match="history: 7 is no text"):
        Query(["i1", 7])


def test_stock_moves_no_score_of_the_others():
    query = Query(["i3", "i8"], k=NUM_ITEMS)
    before = {item.item_id: item.score for item in ENGINE.answer([query])[0].items}
    fewer = ENGINE.with_catalogue(ENGINE.catalogue.with_stock(dict.fromkeys(IDS[:10], False)))
    after = {item.item_id: item.score for item in fewer.answer([query])[0].items}
    assert after.keys() == before.keys() - set(IDS[:10])
    np.testing.assert_allclose([after[i] for i in after], [before[i] for i in after], atol=1e-5)


def test_readers_of_one_engine_do_not_disturb_each_other():
    queries = [[Query([IDS[(7 * n + i) % NUM_ITEMS] for i in range(n % 5 + 1)], k=6)] for n in range(24)]
    expected = [ENGINE.answer(query) for query in queries]
    answers: dict[int, list] = {}

    def ask(first: int) -> None:
        for n in range(first, len(queries), 4):
            answers[n] = ENGINE.answer(queries[n])

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answers[n] for n in range(len(queries))] == expected


def test_a_catalogue_of_other_items_is_refused():
    other = serve_tiny.catalogue()
    other.sids = other.sids[::-1].copy()
    with pytest.raises(DataError, match="no later snapshot"):
        ENGINE.with_catalogue(other)


def test_an_engine_is_gone_with_its_last_user():
    # A cycle would need the garbage collector, which never looks at what was there before gc.freeze.
    engine = ENGINE.with_catalogue(ENGINE.catalogue.with_stock({ENGINE.catalogue.item_ids[0]: False}))
    engine.answer([Query([ENGINE.catalogue.item_ids[1]], allow=Filter(categories=set(ENGINE.catalogue.categories[1])))])
    gone = weakref.ref(engine)
    gc.disable()
    try:
        del engine
        assert gone() is None
    finally:
        gc.enable()
