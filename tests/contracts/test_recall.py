"""Promises that every baseline keeps, and known answers of the ones there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec import variants
from genrec.config import RecallConfig
from genrec.errors import DataError
from genrec.recall.ranking import rank, top_k

PACKAGE = "genrec.recall"
NAMES = variants.names(PACKAGE)
# Three users; item 5 is cold.
TRAIN = [np.array(s, dtype=np.int32) for s in ([0, 1, 2], [0, 1, 3], [1, 4])]
HISTORIES = [np.array(s, dtype=np.int32) for s in ([0], [0, 1], [4], [], [5], [2, 1, 0])]


def fitted(name, sequences=TRAIN, num_items=6, **options):
    module, config = variants.build(PACKAGE, name, RecallConfig(name=name, options=options).options)
    return module.fit(sequences, num_items, config)


def test_the_baselines_are_found_by_listing_the_package():
    assert {"popularity", "itemcf", "transitions"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_float32_rows_over_the_catalogue(name):
    scores = fitted(name).scores(HISTORIES)
    assert scores.dtype == np.float32
    assert scores.shape == (len(HISTORIES), 6)
    assert np.isfinite(scores).all()
    assert (scores[:, 5] <= scores.min(axis=1)).all(), "an item without training events cannot score above others"


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_a_history_do_not_depend_on_the_batch(name):
    scorer = fitted(name)
    together = scorer.scores(HISTORIES)
    alone = np.concatenate([scorer.scores([history]) for history in HISTORIES])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("name", NAMES)
def test_scores_may_be_changed_by_the_caller(name):
    scorer = fitted(name)
    before = scorer.scores(HISTORIES).copy()
    scorer.scores(HISTORIES)[:] = -np.inf
    np.testing.assert_array_equal(scorer.scores(HISTORIES), before)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_users_does_not_matter(name):
    np.testing.assert_allclose(
        fitted(name).scores(HISTORIES), fitted(name, TRAIN[::-1]).scores(HISTORIES), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_training_events_is_no_crash(name):
    empty = [np.empty(0, dtype=np.int32)]
    assert not fitted(name, empty, 4).scores([np.array([1])]).any()
    assert fitted(name, [], 4).scores([]).shape == (0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_an_item_outside_the_catalogue_is_named(name):
    with pytest.raises(DataError, match=r"item 9.*0 to 5"):
        fitted(name, [np.array([0, 9])])


def test_popularity_is_the_number_of_training_events():
    np.testing.assert_array_equal(fitted("popularity").scores([[3]])[0], [2, 3, 1, 1, 1, 0])


def test_itemcf_is_the_cosine_of_user_sets():
    # item 0: users {0,1}; item 1: {0,1,2}; item 2: {0}; item 4: {2}
    expected = [0, 2 / np.sqrt(2 * 3), 1 / np.sqrt(2), 1 / np.sqrt(2), 0, 0]
    np.testing.assert_allclose(fitted("itemcf").scores([[0]])[0], expected, rtol=1e-6)


def test_itemcf_weighs_old_history_items_less_when_told_to():
    scorer, flat = fitted("itemcf", history_decay=0.5), fitted("itemcf")
    expected = 0.5 * flat.scores([[0]]) + flat.scores([[4]])  # the newest item comes last
    np.testing.assert_allclose(scorer.scores([[0, 4]]), expected, rtol=1e-6)


def test_transitions_count_followers_by_inverse_distance():
    scorer = fitted("transitions", itemcf_weight=0.0)
    np.testing.assert_allclose(scorer.scores([[0]])[0], [0, 2, 0.5, 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(scorer.scores([[2]])[0], 0)  # nothing followed item 2
    narrow = fitted("transitions", itemcf_weight=0.0, window=1)
    np.testing.assert_allclose(narrow.scores([[0]])[0], [0, 2, 0, 0, 0, 0], rtol=1e-6)


def test_transitions_add_their_share_of_itemcf():
    with_cf = fitted("transitions", itemcf_weight=0.5, history_decay=1.0).scores(HISTORIES)
    without = fitted("transitions", itemcf_weight=0.0, history_decay=1.0).scores(HISTORIES)
    np.testing.assert_allclose(with_cf - without, 0.5 * fitted("itemcf").scores(HISTORIES), rtol=1e-5, atol=1e-6)


def test_normalized_transitions_divide_by_what_leaves_and_what_enters():
    scorer = fitted("transitions", itemcf_weight=0.0, normalize="geometric")
    # 0 -> 1 weighs 2; 3 leave item 0; 2 enter item 1
    assert scorer.scores([[0]])[0, 1] == pytest.approx(2 / np.sqrt(3 * 2), rel=1e-6)


def test_ranking_drops_the_history_only_when_asked():
    scorer = fitted("popularity")
    dropped, _ = rank(scorer, [np.array([1, 0])], 3, drop_seen=True)
    kept, _ = rank(scorer, [np.array([1, 0])], 3, drop_seen=False)
    assert dropped.tolist() == [[2, 3, 4]]  # equal counts: the lower index first
    assert kept.tolist() == [[1, 0, 2]]


def test_short_lists_are_padded_with_minus_one():
    items, scores = rank(fitted("popularity"), [np.arange(4)], 5, drop_seen=True)
    assert items.tolist() == [[4, 5, -1, -1, -1]]
    assert np.isneginf(scores[0, 2:]).all()
    items, _ = rank(fitted("popularity"), [[]], 8, drop_seen=False)
    assert items[0, 6:].tolist() == [-1, -1]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([-np.inf, 0, 1, 2])
    ),
    st.integers(1, 12),
)
def test_top_k_equals_a_full_stable_sort(scores, k):
    items, values = top_k(scores, k)
    for row, listed, found in zip(scores, items, values, strict=True):
        order = [i for i in sorted(range(len(row)), key=lambda i: (-row[i], i)) if row[i] > -np.inf][:k]
        assert listed.tolist() == order + [-1] * (k - len(order))
        assert found[: len(order)].tolist() == [row[i] for i in order]


def test_the_batch_size_of_ranking_changes_nothing():
    scorer = fitted("transitions")
    whole, parts = rank(scorer, HISTORIES, 4, True, batch=100), rank(scorer, HISTORIES, 4, True, batch=2)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_scores_that_are_not_numbers_are_refused():
    class Broken:
        num_items = 2

        def scores(self, histories):
            return np.full((len(histories), 2), np.nan, dtype=np.float32)

    with pytest.raises(DataError, match="not finite"):
        rank(Broken(), [[0]], 1, False)


@pytest.mark.slow
def test_figures_on_real_reviews_are_reproduced(shared_data):
    """HR@10 and NDCG@10, leave-one-out, fitted on training events only, seen items dropped."""
    import polars as pl

    from genrec.evaluate.metrics import hit, ndcg, target_ranks

    events = pl.read_parquet(shared_data / "scientific" / "interactions.parquet").sort("user_id", "timestamp")
    events = events.with_columns(item=pl.col("item_id").rank("dense").cast(pl.Int32) - 1)
    sequences = [s.to_numpy() for s in events.group_by("user_id", maintain_order=True).agg("item")["item"]]
    targets, num_items = np.array([s[-1] for s in sequences]), events["item"].n_unique()
    expected = {"popularity": (0.0245, 0.0167), "itemcf": (0.0968, 0.0689), "transitions": (0.1122, 0.0839)}
    for name, figures in expected.items():
        scorer = fitted(name, [s[:-2] for s in sequences], num_items)
        items, _ = rank(scorer, [s[:-1] for s in sequences], 10, drop_seen=True)
        ranks = target_ranks(items, targets)
        assert (hit(ranks, 10).mean(), ndcg(ranks, 10).mean()) == pytest.approx(figures, abs=5e-4), name
