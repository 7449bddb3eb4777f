"""Features of each group: known answers on the shop of tests/support/features_tiny.py."""

import numpy as np
import polars as pl
import pytest

from genrec.rank.features import category, channels, generator, popularity, price_age, text, transitions, user
from genrec.rank.features.parts.profile import NAMES
from tests.support.features_tiny import VECTORS, candidates, context, queries

NAN = np.nan


def of(group, asked, found):
    return pl.DataFrame(group.columns(context(asked, found), found))


def test_transitions_are_shares_of_followers_by_hop():
    # followers: 0 -> 1 (2), 2 (1); 1 -> 3, 2; 2 -> 4, 5; 5 -> 0; nothing follows 3 and 4
    found = candidates([1, 2, 4, 0])
    frame = of(transitions, queries([1, 0]), found)
    np.testing.assert_allclose(frame["follow_last"], [2 / 3, 1 / 3, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(frame["follow_last_count"], np.log1p([2, 1, 0, 0]), rtol=1e-6)
    np.testing.assert_allclose(frame["follow_second"], [0, 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(frame["follow_third"], [NAN] * 4)
    np.testing.assert_allclose(frame["follow_best"], [2 / 3, 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(frame["follow_sum"], [2 / 3, 1 / 3 + 0.6 * 0.5, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(frame["follow_back"], [0, 0, NAN, 0], rtol=1e-6)  # nothing followed 4
    # two hops from 0: 1 -> 3 (2/3 * 1/2), 2 -> 4 and 2 -> 5 (1/3 * 1/2); 1 -> 2 is an edge already
    np.testing.assert_allclose(frame["hops_last"], [0, 0, 1 / 6, 0], rtol=1e-6)
    unknown = of(transitions, queries([4]), found)
    assert unknown["follow_last"].is_nan().all()
    assert unknown["hops_sum"].is_nan().all()


def test_items_are_together_by_the_users_they_share():
    # users of 0: {0, 1, 2, 4}, of 1: {0, 1, 3}, of 2: {2, 3, 5}, of 7: none
    frame = of(transitions, queries([2, 0]), candidates([1, 7]))
    np.testing.assert_allclose(frame["together_last"], [2 / np.sqrt(12), 0], rtol=1e-6)
    np.testing.assert_allclose(frame["together_best"], [2 / np.sqrt(12), 0], rtol=1e-6)
    np.testing.assert_allclose(frame["together_mean"], [(2 / np.sqrt(12) + 1 / 3) / 2, 0], rtol=1e-6)


def test_text_is_compared_with_each_history_item_and_with_their_mean():
    unit = VECTORS / np.maximum(np.linalg.norm(VECTORS, axis=1, keepdims=True), 1e-9)
    frame = of(text, queries([0, 1, 2]), candidates([3, 6]))
    closeness = unit[[2, 1, 0]] @ unit[3]
    mean = unit[2] + 0.7 * unit[1] + 0.49 * unit[0]
    expected = {
        "text_last": closeness[0],
        "text_second": closeness[1],
        "text_nearest": closeness.max(),
        "text_nearest_age": closeness.argmax(),
        "text_mean": mean @ unit[3] / np.linalg.norm(mean),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(frame[name], [value, NAN], rtol=1e-5, err_msg=name)  # item 6 has no text


def test_popularity_is_counted_in_all_of_training_and_before_the_moment():
    frame = of(popularity, queries([1], now=110), candidates([0, 2, 7]))
    np.testing.assert_allclose(frame["popularity"], np.log1p([4, 3, 0]), rtol=1e-6)
    np.testing.assert_allclose(frame["catalogue_position"], [1, 5 / 7, 0], rtol=1e-6)
    assert frame["is_head"].to_list() == [1, 0, 0]  # a fifth of eight items: 0, and 1, which has as many events as 2
    np.testing.assert_allclose(frame["popularity_over_history"], np.log1p([4, 3, 0]) - np.log1p(3), rtol=1e-5)
    # events of 0 on days 0, 10, 30, 98; of 2 on 60, 96, 99; the moment is day 110
    np.testing.assert_allclose(frame["events_30_days"], np.log1p([1, 2, 0]), rtol=1e-6)
    np.testing.assert_allclose(frame["events_90_days"], np.log1p([2, 3, 0]), rtol=1e-6)
    np.testing.assert_allclose(frame["trend"], np.log([2 / (2 / 3 + 1), 3 / 2, 1]), rtol=1e-5)


def test_price_and_age_are_known_where_the_shop_knows_them():
    frame = of(price_age, queries([0, 1], now=110), candidates([2, 6, 7, 3]))
    np.testing.assert_allclose(frame["price"], [np.log(40), NAN, NAN, np.log(10)], rtol=1e-6)
    usual = np.log([10, 20]).mean()
    np.testing.assert_allclose(
        frame["price_over_history"], [np.log(40) - usual, NAN, NAN, np.log(10) - usual], rtol=1e-5
    )
    np.testing.assert_allclose(
        frame["price_position"], [1, NAN, NAN, 0]
    )  # of priced mugs 10, 20, 40; of kettles 10, 30
    np.testing.assert_allclose(frame["age_days"], [50, NAN, NAN, 108])
    np.testing.assert_allclose(frame["idle_days"], [11, NAN, NAN, 108])


def test_category_and_brand_are_those_of_the_history():
    # the history: a kettle of brand A, a thing of no category and brand, a mug of brand A; newest first mug, thing, kettle
    frame = of(category, queries([3, 6, 0]), candidates([1, 4, 5, 6]))
    np.testing.assert_allclose(frame["leaf_last"], [1, 0, 0, NAN])
    np.testing.assert_allclose(frame["leaf_share"], [0.5, 0.5, 0, NAN])
    np.testing.assert_allclose(frame["leaf_affinity"], [1 / 1.64, 0.64 / 1.64, 0, NAN], rtol=1e-5)
    np.testing.assert_allclose(frame["leaf_age"], [0, 2, NAN, NAN])
    np.testing.assert_allclose(frame["brand_last"], [1, 0, 0, NAN])
    np.testing.assert_allclose(frame["brand_share"], [1, 0, 0, NAN])
    np.testing.assert_allclose(frame["brand_age"], [0, NAN, NAN, NAN])
    # Kitchen is shared: {Kitchen, Mug} and {Kitchen, Kettle} have one of three
    np.testing.assert_allclose(frame["categories_last"], [1, 1 / 3, 0, NAN], rtol=1e-6)
    np.testing.assert_allclose(frame["categories_best"], [1, 1, 0, NAN], rtol=1e-6)
    np.testing.assert_allclose(frame["leaf_events"], np.log1p([10, 2, 2, NAN]), rtol=1e-6)
    np.testing.assert_allclose(frame["leaf_position"], [1 / 3, 0, 0, NAN], rtol=1e-6)


def test_channels_keep_their_scores_and_say_how_they_agree():
    found = candidates([1, 2, 3], [4], seed=3)
    found.scores[:] = [[1, NAN], [3, -5], [2, -1], [7, NAN]]
    found.ranks[:] = [[2, -1], [0, 1], [-1, 0], [0, -1]]
    frame = of(channels, queries([0], [0]), found)
    np.testing.assert_allclose(frame["itemcf_score"], [1, 3, 2, 7])
    np.testing.assert_allclose(frame["itemcf_rank"], [3, 1, NAN, 1])
    np.testing.assert_allclose(frame["itemcf_share"], [0, 1, 0.5, 1])
    np.testing.assert_allclose(frame["als_share"], [NAN, 0, 1, NAN])
    assert frame["num_channels"].to_list() == [1, 2, 1, 1]
    assert frame["best_place"].to_list() == [3, 1, 1, 1]
    np.testing.assert_allclose(frame["fused"], [1 / 63, 1 / 61 + 1 / 62, 1 / 61, 1 / 61], rtol=1e-6)


def test_the_generator_says_what_it_found_and_what_its_dense_head_thinks():
    found = candidates([1, 2])
    whole = context(queries([0]), found)
    whole.beams.steps[:] = [[-1, -2, -3], [NAN, NAN, NAN]]
    whole.beams.dense[:] = [[-2, -2, -2], [-1, -1, -1]]
    frame = pl.DataFrame(generator.columns(whole, found))
    np.testing.assert_allclose(frame["beam_level_2"], [-2, NAN])
    np.testing.assert_allclose(frame["dense"], [-6, -3])
    np.testing.assert_allclose(frame["dense_share"], [0, 1])
    np.testing.assert_allclose(frame["beam_gain"], [0, NAN])


def test_a_profile_is_what_the_history_tells_of_a_user():
    frame = of(user, queries([0, 1, 6], [7], [], now=110), candidates([2], [2], [2]))
    assert set(frame.columns) == {*NAMES, "user_segment"}
    np.testing.assert_allclose(frame["user_events"], np.log1p([3, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(frame["user_categories"], [np.log(2), np.log(2), NAN], rtol=1e-6)
    np.testing.assert_allclose(frame["user_head_share"], [2 / 3, 0, NAN], rtol=1e-6)  # items 0 and 1 are head
    np.testing.assert_allclose(frame["user_price"], [np.log([10, 20]).mean(), NAN, NAN], rtol=1e-6)
    np.testing.assert_allclose(frame["user_purchases"], [2 / 3, 1, NAN], rtol=1e-6)
    np.testing.assert_allclose(frame["user_recency_days"], [np.log(2), np.log(2), NAN], rtol=1e-6)
    np.testing.assert_allclose(frame["user_gap_days"], [np.log(2), NAN, NAN], rtol=1e-6)
    unit = VECTORS[:2] / np.linalg.norm(VECTORS[:2], axis=1, keepdims=True)
    assert frame["user_breadth"][0] == pytest.approx(1 - np.linalg.norm(unit.sum(axis=0)) / 2, abs=1e-6)


def test_users_of_a_kind_share_a_segment():
    rng = np.random.default_rng(0)
    heavy = [rng.integers(0, 3, 20) for _ in range(15)]
    light = [rng.integers(3, 6, 2) for _ in range(30)]
    from genrec.rank.features.parts.profile import profiles, segment, with_segments
    from genrec.rank.features.parts.queries import Queries
    from genrec.rank.features.parts.tables import fit_tables
    from genrec.recall.parts.scorer import Training

    data = Training([*heavy, *light], 8)
    found = with_segments(fit_tables(data), data, segments=2)
    values = np.stack([*profiles(found, Queries([*heavy, *light])).values()], axis=1)
    assert segment(found, values).tolist() == [1] * 15 + [0] * 30  # the larger segment comes first
