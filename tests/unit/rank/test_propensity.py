import numpy as np
import polars as pl
import pytest

from genrec.rank.propensity import inverse_propensity, last_position, propensities, shown

LISTS = pl.DataFrame(
    {
        "user_id": ["u", "u", "v"],
        "shown_at": [1000, 2000, 1500],
        "items": [["a", "b"], ["b", "a"], ["a"]],
    }
)


def clicks(*rows):
    return pl.DataFrame(
        rows, schema={"user_id": pl.String, "item_id": pl.String, "received_at": pl.Int64}, orient="row"
    )


def test_a_click_is_credited_to_the_last_time_the_item_was_shown_to_this_user():
    rows = shown(LISTS, clicks(("u", "a", 2500), ("v", "a", 1400), ("v", "b", 1600), ("u", "b", 1900)))
    credited = rows.filter("clicked").select("user_id", "item_id", "position", "shown_at").rows()
    assert sorted(credited) == [("u", "a", 1, 2000), ("u", "b", 1, 1000)]
    assert rows.height == 5


def test_a_click_long_after_is_credited_to_no_list():
    assert not shown(LISTS, clicks(("v", "a", 1500 + 2 * 3600_000)), window_hours=1.0)["clicked"].any()


def _log(seed, swap_share, num_users=6000, bias=(1.0, 0.6, 0.3)):
    """Users want item 0 most and item 2 least; a good model puts them so, but for a share of lists that it turns round."""
    generator = np.random.default_rng(seed)
    wanted = np.array([0.8, 0.4, 0.2])
    rows = []
    for user in range(num_users):
        for time in range(2):
            order = [0, 1, 2]
            if generator.random() < swap_share:
                order = generator.permutation(3).tolist()
            for position, item in enumerate(order):
                clicked = bool(generator.random() < bias[position] * wanted[item])
                rows.append((str(user), str(item), position, time, clicked))
    schema = ["user_id", "item_id", "position", "shown_at", "clicked"]
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_planted_propensities_are_found_where_items_change_places_though_the_best_stand_first():
    log = _log(seed=0, swap_share=0.5)
    found = propensities(log)
    np.testing.assert_allclose(found, [1, 0.6, 0.3], atol=0.05)
    rates = log.group_by("position").agg(pl.col("clicked").mean()).sort("position")["clicked"].to_numpy()
    assert rates[2] / rates[0] < 0.2, "plain click rates take what is wanted for what is seen"


def test_without_items_that_change_places_the_plain_click_rates_remain():
    log = _log(seed=1, swap_share=0.0, num_users=2000)
    found = propensities(log)
    np.testing.assert_allclose(found, [1, 0.3, 0.075], atol=0.04)
    assert (np.diff(found) <= 0).all()


def test_weights_are_clipped_and_what_was_not_shown_counts_once():
    propensity = np.array([1.0, 0.5, 0.01])
    position = np.array([0, 1, 2, 9, np.nan])
    assert inverse_propensity(propensity, position, clip=0.1) == pytest.approx([1, 2, 10, 10, 1])
    assert inverse_propensity(propensity, position, clip=1.0) == pytest.approx([1, 1, 1, 1, 1])
    np.testing.assert_array_equal(inverse_propensity(propensities(_log(0, 0, 1)[:0]), position, 0.1), 1)


def test_the_position_is_that_of_the_last_list_before_the_event():
    rows = shown(LISTS, clicks())
    position = last_position(rows, ["u", "u", "u", "w"], ["a", "a", "a", "a"], np.array([999, 1999, 9999, 9999]))
    np.testing.assert_array_equal(position, [np.nan, 0, 1, np.nan])
