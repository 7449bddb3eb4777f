"""Promises that every baseline keeps, and known answers of the ones there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from genrec import variants
from genrec.config import RecallConfig
from genrec.errors import ConfigError, DataError
from genrec.recall.parts.ranking import rank, top_k
from genrec.recall.parts.scorer import Held, Training

PACKAGE = "genrec.recall"
NAMES = variants.names(PACKAGE)
# Three users; item 5 is cold.
TRAIN = [np.array(s, dtype=np.int32) for s in ([0, 1, 2], [0, 1, 3], [1, 4])]
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
HISTORIES = [np.array(s, dtype=np.int32) for s in ([0], [0, 1], [4], [], [5], [2, 1, 0])]


READS_TEXT = {"content", "sasrec"}
SMALL = {  # settings that make training a matter of milliseconds
    "als": {"factors": 8, "iterations": 3},
    "item2vec": {"dim": 8, "epochs": 2},
    "sasrec": {"hidden_size": 8, "num_layers": 1, "num_heads": 1, "epochs": 2},
}


def fitted(name, sequences=TRAIN, num_items=6, *, data=None, **options):
    chosen = {**SMALL.get(name, {}), **options}
    module, config = variants.build(PACKAGE, name, RecallConfig(name=name, options=chosen).options)
    data = data or Training(sequences, num_items, vectors=VECTORS[:num_items])
    return module.fit(data, config)


def test_the_baselines_are_found_by_listing_the_package():
    counting = {"popularity", "recent_popularity", "itemcf", "usercf", "swing", "transitions"}
    assert counting | {"als", "item2vec", "content", "sasrec"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_float32_rows_over_the_catalogue(name):
    scores = fitted(name).scores(HISTORIES)
    assert scores.dtype == np.float32
    assert scores.shape == (len(HISTORIES), 6)
    assert np.isfinite(scores).all()
    if name not in READS_TEXT:
        assert (scores[:, 5] <= scores.min(axis=1)).all(), "an item without training events cannot score above others"


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_a_history_do_not_depend_on_the_batch(name):
    scorer = fitted(name)
    together = scorer.scores(HISTORIES)
    alone = np.concatenate([scorer.scores([history]) for history in HISTORIES])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_scores_may_be_changed_by_the_caller(name):
    scorer = fitted(name)
    before = scorer.scores(HISTORIES).copy()
    scorer.scores(HISTORIES)[:] = -np.inf
    np.testing.assert_array_equal(scorer.scores(HISTORIES), before)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in SMALL])  # those draw random numbers in order
def test_the_order_of_the_users_does_not_matter(name):
    np.testing.assert_allclose(
        fitted(name).scores(HISTORIES), fitted(name, TRAIN[::-1]).scores(HISTORIES), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("name", NAMES)
def test_same_data_and_seed_give_the_same_scores(name):
    np.testing.assert_array_equal(fitted(name).scores(HISTORIES), fitted(name).scores(HISTORIES))


@pytest.mark.parametrize("name", NAMES)
def test_test_and_validation_targets_are_no_part_of_what_is_learned(name):
    """Validation rows may end training early; with an epoch each way there is nothing to end."""
    options = {"epochs": 1} if name in ("sasrec", "item2vec") else {}
    scores = [
        fitted(
            name,
            data=Training(TRAIN, 6, vectors=VECTORS, validation=Held([TRAIN[0]], np.array([t], dtype=np.int32))),
            **options,
        ).scores(HISTORIES)
        for t in (3, 4)
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("name", NAMES)
def test_no_training_events_is_no_crash(name):
    empty = [np.empty(0, dtype=np.int32)]
    if name != "content":
        assert not fitted(name, empty, 4).scores([np.array([1])]).any()
    assert fitted(name, [], 4).scores([]).shape == (0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_an_item_outside_the_catalogue_is_named(name):
    with pytest.raises(DataError, match=r"item 9.*0 to 5"):
        fitted(name, [np.array([0, 9])])


def test_popularity_is_the_number_of_training_events():
    np.testing.assert_array_equal(fitted("popularity").scores([[3]])[0], [2, 3, 1, 1, 1, 0])


def test_recent_popularity_halves_an_event_when_its_share_of_all_events_is_newer():
    times = [np.array(t) for t in ([0, 1, 2], [3, 4, 5], [6, 7])]
    scorer = fitted("recent_popularity", data=Training(TRAIN, 6, timestamps=times), half_life=0.25)
    # 8 events: one with n newer events weighs 2 ** -(n / 8 / .25)
    expected = [2**-3.5 + 2**-2, 2**-3 + 2**-1.5 + 2**-0.5, 2**-2.5, 2**-1, 1, 0]
    np.testing.assert_allclose(scorer.scores([[]])[0], expected, rtol=1e-6)


def test_recent_popularity_with_a_long_half_life_is_popularity():
    times = [np.arange(len(s)) for s in TRAIN]
    scorer = fitted("recent_popularity", data=Training(TRAIN, 6, timestamps=times), half_life=100.0)
    np.testing.assert_allclose(scorer.scores([[]]), fitted("popularity").scores([[]]), rtol=0.01)


def test_usercf_adds_up_the_cosines_of_the_users_who_had_an_item():
    scorer = fitted("usercf", history_decay=1.0)
    a, b = np.log(4 / 2), np.log(4 / 3)  # idf of item 0 (2 users) and 1 (3 users); log 4 for items of one user
    first = a / np.sqrt(a**2 + b**2 + np.log(4) ** 2)  # history [0] against users 0 and 1
    np.testing.assert_allclose(scorer.scores([[0]])[0], [2 * first, 2 * first, first, first, 0, 0], rtol=1e-5)
    only_one = fitted("usercf", num_neighbours=1, history_decay=1.0).scores([[0]])[0]
    np.testing.assert_allclose(only_one, [first, first, first, 0, 0, 0], rtol=1e-5)  # of equals, the first user


def test_swing_counts_pairs_of_users_who_share_both_items_and_little_else():
    sequences = [np.array(s, dtype=np.int32) for s in ([0, 1, 2], [0, 1, 3], [0, 1, 2], [1, 4])]
    scorer = fitted("swing", sequences, alpha=1.0, beta=1.0, exponent=0.5, history_decay=1.0)
    # users 0-1 and 1-2 share {0, 1}; users 0-2 share {0, 1, 2}; every one of them has 3 items, so w_u w_v = 1 / 4
    near, far = 0.25 / (1 + 2), 0.25 / (1 + 3)
    np.testing.assert_allclose(scorer.scores([[0]])[0], [0, 2 * near + far, far, 0, 0, 0], rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7), max_size=8), min_size=1, max_size=8), st.floats(0.1, 5))
def test_swing_equals_its_definition(sequences, alpha):
    users = [set(s) for s in sequences]
    expected = np.zeros((8, 8))
    for u, v in itertools.combinations(range(len(users)), 2):
        both = users[u] & users[v]
        for i, j in itertools.permutations(both, 2):
            expected[i, j] += ((len(users[u]) + 1) * (len(users[v]) + 1)) ** -0.5 / (alpha + len(both))
    scorer = fitted("swing", [np.array(s, dtype=np.int32) for s in sequences], 8, alpha=alpha)
    np.testing.assert_allclose(scorer.weights.toarray(), expected, rtol=1e-5, atol=1e-6)


def two_camps(per_camp=60, seed=0):
    """Users of two camps, each with six items of its own: every method that learns must keep them apart."""
    generator = np.random.default_rng(seed)
    return [6 * camp + generator.permutation(6)[:5].astype(np.int32) for camp in (0, 1) for _ in range(per_camp)]


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("popularity", "recent_popularity", "content")])
def test_items_of_a_users_own_camp_come_first(name):
    trained = {
        "als": {"factors": 2},
        "item2vec": {"epochs": 40, "negatives": 2},
        "sasrec": {"epochs": 12, "text": False, "batch_size": 16},
    }
    scorer = fitted(name, two_camps(), 12, **trained.get(name, {}))
    items, _ = rank(scorer, [np.array([0, 1]), np.array([7, 8])], 4, drop_seen=True)
    assert set(items[0]) == {2, 3, 4, 5}
    assert set(items[1]) == {6, 9, 10, 11}


def test_content_ranks_by_the_cosine_of_texts_cold_items_too():
    vectors = np.array([[1, 0], [2, 0.2], [0, 1], [-1, 0], [0, 0], [1, 1]], dtype=np.float32)
    scorer = fitted("content", data=Training(TRAIN, 6, vectors=vectors))
    cosine = [0, 2 / np.hypot(2, 0.2), 0, 0, 0, 1 / np.sqrt(2)]  # not itself, nothing for an opposite or no text
    np.testing.assert_allclose(scorer.scores([[0]])[0], cosine, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(READS_TEXT))
def test_a_baseline_that_reads_text_says_when_there_is_none(name):
    with pytest.raises(DataError, match=f"baseline {name}: needs the vectors of all 6 items"):
        fitted(name, data=Training(TRAIN, 6))


def test_sasrec_stops_when_validation_no_longer_improves_and_keeps_its_best_epoch():
    sequences, seen = two_camps(20), []
    held = Held([s[:3] for s in sequences], np.array([s[3] for s in sequences], dtype=np.int32))

    def listen(done, total, note="", /, **values):
        seen.extend([values["valid_ndcg@10"]] if "valid_ndcg@10" in values else [])

    data = Training(sequences, 12, validation=held, progress=listen)
    options = {"text": False, "epochs": 60, "patience": 3, "batch_size": 8, "learning_rate": 0.05}
    scorer = fitted("sasrec", data=data, **options)
    assert len(seen) < 60
    assert len(seen) - 1 - int(np.argmax(seen)) == 3
    from genrec.recall.parts.sasrec_training import ndcg_at_10

    assert ndcg_at_10(scorer, held) == pytest.approx(max(seen), abs=1e-9)


def test_sasrec_learns_what_follows_what():
    chains = [np.arange(start, start + 5, dtype=np.int32) % 12 for start in range(12) for _ in range(8)]
    scorer = fitted("sasrec", chains, 12, text=False, epochs=40, batch_size=16, reverse_share=0.0, dropout=0.1,
                    hidden_size=16, learning_rate=0.01)  # fmt: skip
    items, _ = rank(scorer, [np.array([i, (i + 1) % 12]) for i in range(12)], 1, drop_seen=True)
    assert items[:, 0].tolist() == [(i + 2) % 12 for i in range(12)]


def test_windows_of_sasrec_hold_every_transition_once():
    from genrec.recall.parts.sasrec_training import training_windows

    windows = training_windows([np.arange(11), np.arange(1), np.arange(2)], 11, 5)
    items, real = windows.gather(np.arange(len(windows)))
    rows = [row[kept].tolist() for row, kept in zip(items, real, strict=True)]
    assert rows == [[6, 7, 8, 9, 10], [2, 3, 4, 5, 6], [0, 1, 2], [0, 1]]


def test_sasrec_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ConfigError, match="num_heads 3 must divide hidden_size 8"):
        fitted("sasrec", hidden_size=8, num_heads=3)


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

    from genrec.metrics import hit, ndcg, target_ranks

    events = pl.read_parquet(shared_data / "scientific" / "interactions.parquet").sort("user_id", "timestamp")
    events = events.with_columns(item=pl.col("item_id").rank("dense").cast(pl.Int32) - 1)
    sequences = [s.to_numpy() for s in events.group_by("user_id", maintain_order=True).agg("item")["item"]]
    targets, num_items = np.array([s[-1] for s in sequences]), events["item"].n_unique()
    expected = {
        "popularity": (0.0245, 0.0167),
        "itemcf": (0.0968, 0.0689),
        "transitions": (0.1122, 0.0839),
        "usercf": (0.1099, 0.0754),
        "swing": (0.1006, 0.0694),
    }
    for name, figures in expected.items():
        scorer = fitted(name, [s[:-2] for s in sequences], num_items)
        items, _ = rank(scorer, [s[:-1] for s in sequences], 10, drop_seen=True)
        ranks = target_ranks(items, targets)
        assert (hit(ranks, 10).mean(), ndcg(ranks, 10).mean()) == pytest.approx(figures, abs=5e-4), name
