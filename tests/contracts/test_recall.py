"""Promises that every channel keeps."""

import numpy as np
import pytest

from genrec import variants
from genrec.config import RecallConfig
from genrec.errors import DataError
from genrec.recall.parts.ranking import rank
from genrec.recall.parts.scorer import Held, Training
from tests.support.recall_tiny import HISTORIES, PACKAGE, SMALL, TRAIN, VECTORS, fitted, two_camps

NAMES = variants.names(PACKAGE)
READS_TEXT = {"content", "sasrec", "transition_rings"}
TEXT_ALONE = {"content", "transition_rings"}  # rank by text where there is no event
LISTS_COLD = {"rules", *READS_TEXT}  # items without events may stand above others
TRAINED = {"sasrec", "item2vec", "item2vec_side", "mind"}


def test_the_baselines_are_found_by_listing_the_package():
    counting = {"popularity", "recent_popularity", "itemcf", "usercf", "swing", "transitions"}
    assert counting | {"als", "item2vec", "content", "sasrec", "transition_rings"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_finite_float32_rows_over_the_catalogue(name):
    scores = fitted(name).scores(HISTORIES)
    assert scores.dtype == np.float32
    assert scores.shape == (len(HISTORIES), 6)
    assert np.isfinite(scores).all()
    if name not in LISTS_COLD:
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
def test_every_value_to_choose_from_is_a_valid_setting(name):
    module = variants.load(PACKAGE, name)
    choices = getattr(module, "CHOICES", {})
    for option, values in choices.items():
        assert len(set(map(str, values))) == len(values) > 1
        for value in values:
            assert RecallConfig(name=name, options={option: value}).options == {option: value}
    assert set(getattr(module, "RANKING", ())) <= choices.keys()


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(variants.load(PACKAGE, n), "RANKING")])
def test_a_fit_ranked_by_other_options_is_that_of_these_options(name):
    module = variants.load(PACKAGE, name)
    others = {option: module.CHOICES[option][-1] for option in module.RANKING}
    options = module.Config(**SMALL.get(name, {}) | others)
    np.testing.assert_array_equal(
        fitted(name).with_options(options).scores(HISTORIES), fitted(name, **others).scores(HISTORIES)
    )
    empty = fitted(name, [np.empty(0, dtype=np.int32)], 4)
    assert empty.with_options(options).scores([[1]]).shape == (1, 4)


@pytest.mark.parametrize("name", NAMES)
def test_test_and_validation_targets_are_no_part_of_what_is_learned(name):
    """Validation rows may end training early; with an epoch each way there is nothing to end."""
    options = {"epochs": 1} if name in TRAINED else {}
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
    if name not in TEXT_ALONE | {"rules"}:
        assert not fitted(name, empty, 4).scores([np.array([1])]).any()
    assert fitted(name, [], 4).scores([]).shape == (0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_top_lists_what_ranking_lists_as_far_as_there_is_a_signal(name):
    channel = fitted(name)
    items, values = channel.top(HISTORIES, 4, HISTORIES)
    assert (items.dtype, values.dtype) == (np.int32, np.float32)
    assert items.shape == values.shape == (len(HISTORIES), 4)
    ranked, scores = rank(channel, HISTORIES, 6, drop_seen=True)
    listed = items >= 0
    assert (np.isneginf(values) == ~listed).all()
    assert (np.diff(listed.astype(int), axis=1) <= 0).all(), "a list is filled from its start"
    for row in range(len(HISTORIES)):
        known = [place for place, item in enumerate(ranked[row]) if item in items[row, listed[row]]]
        assert items[row, listed[row]].tolist() == ranked[row, known].tolist()
        np.testing.assert_allclose(values[row, listed[row]], scores[row, known], rtol=1e-5)
    assert listed.any()
    assert listed[3].any() == (name in {"popularity", "recent_popularity", "rules"})  # the empty history


@pytest.mark.parametrize("name", NAMES)
def test_a_history_asked_for_alone_has_the_list_that_it_has_beside_others(name):
    channel = fitted(name)
    histories = [*HISTORIES, np.array([1, 0, 1, 2])]
    for banned in (None, histories):
        items, values = channel.top(histories, 5, banned)
        for row, history in enumerate(histories):
            alone = channel.top([history], 5, None if banned is None else [history])
            np.testing.assert_array_equal(alone[0][0], items[row])
            np.testing.assert_allclose(alone[1][0], values[row], rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_index_that_was_saved_gives_the_same_lists_and_the_same_bytes(name, tmp_path):
    channel = fitted(name)
    channel.save(tmp_path / "a")
    loaded = variants.load(PACKAGE, name).load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    for one, other in zip(channel.top(HISTORIES, 4), loaded.top(HISTORIES, 4), strict=True):
        np.testing.assert_array_equal(one, other)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["index.json", "index.safetensors"]
    for file in names:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_an_index_of_nothing_can_be_kept_and_lists_nothing_it_does_not_know(name, tmp_path):
    channel = fitted(name, [np.empty(0, dtype=np.int32)], 4)
    channel.save(tmp_path)
    items, _ = variants.load(PACKAGE, name).load(tmp_path).top([np.array([1]), []], 3)
    assert items.shape == (2, 3)
    if name not in LISTS_COLD:
        assert (items == -1).all()


def test_an_index_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(DataError, match=f"{tmp_path}: holds no readable index"):
        variants.load(PACKAGE, "itemcf").load(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_an_item_outside_the_catalogue_is_named(name):
    with pytest.raises(DataError, match=r"item 9.*0 to 5"):
        fitted(name, [np.array([0, 9])])


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n not in {"popularity", "recent_popularity", "rules", *TEXT_ALONE}]
)
def test_items_of_a_users_own_camp_come_first(name):
    trained = {
        "als": {"factors": 2},
        "item2vec": {"epochs": 40, "negatives": 2},
        "item2vec_side": {"epochs": 20, "batch_size": 64, "learning_rate": 0.02},
        "mind": {"epochs": 8, "batch_size": 32, "learning_rate": 0.02, "interests": 2},
        "sasrec": {"epochs": 12, "text": False, "batch_size": 16},
    }
    scorer = fitted(name, two_camps(), 12, **trained.get(name, {}))
    items, _ = rank(scorer, [np.array([0, 1]), np.array([7, 8])], 4, drop_seen=True)
    assert set(items[0]) == {2, 3, 4, 5}
    assert set(items[1]) == {6, 9, 10, 11}


@pytest.mark.parametrize("name", sorted(READS_TEXT))
def test_a_baseline_that_reads_text_says_when_there_is_none(name):
    with pytest.raises(DataError, match=f"baseline {name}: needs the vectors of all 6 items"):
        fitted(name, data=Training(TRAIN, 6))


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
    by_source = fitted("transitions", itemcf_weight=0.0, normalize="source")
    assert by_source.scores([[0]])[0, 1] == pytest.approx(2 / np.sqrt(3), rel=1e-6)


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
