import numpy as np
import polars as pl
import pytest

from genrec.errors import DataError
from genrec.rank.samples import Samples, from_frame, tasks_of
from tests.support.rank_tiny import samples

FRAME = pl.DataFrame(
    {
        "user": [7, 7, 3],
        "item": [0, 4, 4],
        "label": [0, 1, 0],
        "click": [0, 1, 0],
        "purchase": [0, 1, 0],
        "itemcf_rank": [1, None, 2],
        "popularity": [10, 2, 2],
    }
)


def test_a_frame_of_candidates_becomes_samples_with_nan_for_what_is_missing():
    read = from_frame(FRAME)
    assert read.names == ("itemcf_rank", "popularity")
    assert read.features.dtype == np.float32
    np.testing.assert_array_equal(read.features, [[1, 10], [np.nan, 2], [2, 2]])
    assert set(read.tasks) == {"click", "purchase"}
    np.testing.assert_array_equal(read.label, [0, 1, 0])
    np.testing.assert_array_equal(read.starts, [0, 2, 3])
    np.testing.assert_array_equal(read.list_of_row, [0, 0, 1])
    np.testing.assert_array_equal(read.weight, 1)
    assert from_frame(FRAME.drop("click", "purchase")).tasks == {}


def test_several_lists_of_a_user_are_told_apart_by_their_number():
    frame = FRAME.with_columns(user=pl.lit(7), query=pl.Series([0, 0, 1]))
    np.testing.assert_array_equal(from_frame(frame).starts, [0, 2, 3])
    np.testing.assert_array_equal(from_frame(frame).queries, [0, 1])


def test_a_frame_without_labels_or_with_nulls_in_them_is_named():
    with pytest.raises(DataError, match="no column label"):
        from_frame(FRAME.drop("label"))
    with pytest.raises(DataError, match="nulls in the column item"):
        from_frame(FRAME.with_columns(item=pl.Series([0, None, 4])))


def test_rows_of_a_list_that_are_apart_and_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="must be neighbours"):
        samples(np.zeros((3, 1)), np.zeros(3), user=np.array([1, 2, 1]))
    with pytest.raises(ValueError, match="label"):
        samples(np.zeros((3, 1)), np.zeros(2), user=np.arange(3), item=np.arange(3), weight=np.ones(3))
    with pytest.raises(ValueError, match="task click"):
        samples(np.zeros((3, 1)), np.zeros(3), tasks={"click": np.zeros(2)})


def test_rows_and_features_are_taken_with_everything_that_belongs_to_them():
    whole = from_frame(FRAME)
    part = whole.take(np.array([False, True, True])).without(("popularity",))
    np.testing.assert_array_equal(part.features, [[np.nan], [2]])
    np.testing.assert_array_equal(part.tasks["purchase"], [1, 0])
    np.testing.assert_array_equal(part.user, [7, 3])
    assert len(whole.take(np.array([], dtype=np.int64))) == 0
    assert isinstance(part, Samples)


def test_a_purchase_is_a_click_too():
    label = np.array([1, 0, 1, 0], dtype=np.float32)
    tasks = tasks_of(label, np.array(["click", "click", "purchase", "purchase"]))
    np.testing.assert_array_equal(tasks["click"], label)
    np.testing.assert_array_equal(tasks["purchase"], [0, 0, 1, 0])
