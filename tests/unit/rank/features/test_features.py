"""Promises that all features keep."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from genrec import variants
from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.compute import as_table, compute, features, groups
from genrec.rank.features.parts.context import Context
from genrec.rank.features.parts.queries import Queries
from genrec.rank.features.parts.tables import Tables
from genrec.recall.parts.scorer import Held, Training
from tests.support.features_tiny import (
    CHANNELS,
    DAY,
    SEQUENCES,
    START,
    candidates,
    context,
    one,
    queries,
    tables,
    training,
)

NEW = 8  # an item that is not in the catalogue the tables were made of
ASKED = queries([0, 1, 3], [5], [], [4, 2, 0, 1], [6], [NEW], list(range(6)) * 5, [NEW, 3])
FOUND = candidates(
    [2, 4, 7], [0, 6, NEW], [1, 2], [3], [0, 1, 2, 3], [0, NEW], [6, 7], [], seed=1
)  # the last query has none


def test_every_group_gives_the_columns_it_documents_as_float32():
    whole = context(ASKED, FOUND)
    for name, module in groups().items():
        frame = pl.DataFrame(module.columns(whole, FOUND))
        assert set(frame.columns) == set(module.names(CHANNELS, 3)), name
        assert frame.height == len(FOUND)
        assert {str(kind) for kind in frame.dtypes} == {"Float32"}, name
    frame = compute(whole, FOUND)
    assert frame.columns == [column for group in features(CHANNELS, 3).values() for column in group]
    assert not any(np.isinf(frame[column].to_numpy()).any() for column in frame.columns)
    assert frame.null_count().sum_horizontal()[0] == 0  # what is missing is NaN


def test_no_two_features_share_a_name():
    every = [name for group in features(("generator", *variants.names("genrec.recall")), 3).values() for name in group]
    assert len(every) == len(set(every))
    ranks = {name for name in every if name.endswith("_rank")}  # what is learned as a channel's rank is one
    assert ranks == {f"{channel}_rank" for channel in ("generator", *variants.names("genrec.recall"))}


def test_one_request_has_the_features_it_has_in_a_batch():
    whole = context(ASKED, FOUND)
    batch = compute(whole, FOUND)
    for number in range(len(ASKED)):
        alone = compute(*one(ASKED, FOUND, whole, number))
        expected = batch.filter(FOUND.query == number)
        for name in batch.columns:
            np.testing.assert_allclose(alone[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_blocks_that_hold_few_values_give_the_same(monkeypatch):
    whole = context(ASKED, FOUND)
    expected = compute(whole, FOUND)
    monkeypatch.setattr("genrec.rank.features.parts.context._CELLS", 1)
    for name, column in compute(whole, FOUND).to_dict().items():
        np.testing.assert_allclose(column, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_tables_that_were_saved_give_the_same_features(tmp_path):
    whole = context(ASKED, FOUND)
    whole.tables.save(tmp_path)
    kept = dataclasses.replace(whole, tables=Tables.load(tmp_path))
    assert compute(kept, FOUND).equals(compute(whole, FOUND), null_equal=True)


def test_nothing_is_known_of_a_new_item_and_nothing_is_invented():
    whole = context(ASKED, FOUND)
    frame = compute(whole, FOUND).filter(FOUND.item == NEW)
    listed = features(CHANNELS, 3)
    of_user = {name for group in ("user", "channels", "generator") for name in listed[group]}
    assert [name for name in frame.columns if name not in of_user and not frame[name].is_nan().all()] == []


def test_an_empty_history_has_no_features_of_a_history():
    frame = compute(context(ASKED, FOUND), FOUND).filter(FOUND.query == 2)
    for name in ("follow_last", "together_mean", "text_mean", "leaf_share", "brand_last", "categories_best"):
        assert frame[name].is_nan().all(), name
    assert not frame["popularity"].is_nan().any()
    assert frame["user_events"].to_list() == [0, 0]
    assert frame["user_popularity"].is_nan().all()


def test_no_queries_at_all_are_a_frame_without_rows():
    nobody = np.empty(0, np.int64)
    nothing = Candidates(nobody, nobody, CHANNELS, np.empty((0, 2), np.float32), np.empty((0, 2), np.int16), 0)
    asked = queries()
    for known in (asked, dataclasses.replace(asked, now=None), Queries([])):
        frame = compute(context(known, nothing), nothing)
        assert frame.height == 0
        assert frame.columns == [column for group in features(CHANNELS, 3).values() for column in group]


def test_no_candidates_at_all_is_a_frame_without_rows():
    nothing = Candidates(
        np.empty(0, np.int64), np.empty(0, np.int64), CHANNELS,
        np.empty((0, 2), np.float32), np.empty((0, 2), np.int16), len(ASKED),
    )  # fmt: skip
    frame = compute(context(ASKED, nothing), nothing)
    assert (frame.height, frame.width) == (0, compute(context(ASKED, FOUND), FOUND).width)


@pytest.mark.parametrize("case", ["nothing known", "positions for times"])
def test_data_without_times_texts_prices_or_sides_has_missing_features(case):
    times = None if case == "nothing known" else [np.arange(len(s)) for s in SEQUENCES]
    bare = tables(Training(SEQUENCES, 8, timestamps=times), None)
    asked = dataclasses.replace(ASKED, times=None, bought=None, now=None)
    frame = compute(Context(bare, asked, CHANNELS), FOUND)
    constant = {name for name in frame.columns if frame[name].is_nan().all()}
    assert {"text_last", "price", "age_days", "trend", "leaf_share", "brand_last", "user_recency_days"} <= constant
    assert not {"follow_last", "popularity", "together_best", "user_events"} & constant


def test_validation_events_are_no_part_of_the_tables():
    """They reach a feature as the history of a query, and in no other way."""
    held = Held([np.array([0])], np.array([7], dtype=np.int32))
    seen, other = tables(training(validation=held)), tables(training())
    for name, value in vars(seen).items():
        kept = getattr(other, name)
        same = (
            (value != kept).nnz == 0
            if hasattr(value, "nnz")
            else np.array_equal(value, kept, equal_nan=value.dtype.kind == "f")
        )
        assert same, name
    assert seen.counts[7] == 0


def test_events_after_the_moment_change_no_feature_of_time():
    early = queries([0, 1], now=25)
    found = candidates([2, 3, 5])
    frame = compute(context(early, found), found)
    # up to day 25 item 3 was bought once, on day 2; 2 and 5 not yet
    assert frame["events_30_days"].to_list() == pytest.approx([0, np.log(2), 0])
    np.testing.assert_allclose(frame["age_days"], [np.nan, 23, np.nan])
    np.testing.assert_allclose(frame["idle_days"], [np.nan, 23, np.nan])
    cut = [
        (sequence[keep], times[keep])
        for sequence, times in zip(training().sequences, training().timestamps, strict=True)
        for keep in [times < START + 25 * DAY]
    ]
    before = training(timestamps=[times for _, times in cut])
    before = dataclasses.replace(before, sequences=[sequence for sequence, _ in cut])
    same = compute(context(early, found, tables(before)), found)
    for name in ("events_30_days", "events_90_days", "trend", "age_days", "idle_days", "user_recency_days"):
        np.testing.assert_array_equal(frame[name], same[name], err_msg=name)


def test_the_table_of_candidates_has_labels_and_tasks():
    found = candidates([2, 4], [0])
    whole = context(queries([0, 1], [5]), found)
    table = as_table(
        compute(whole, found), found, np.array([30, 40]), np.array([4, 0]), np.array(["click", "purchase"])
    )
    assert table.columns[:6] == ["user", "item", "query", "label", "click", "purchase"]
    assert table.select("user", "item", "query", "label", "purchase").rows() == [
        (30, 2, 0, 0, 0), (30, 4, 0, 1, 0), (40, 0, 1, 1, 1)
    ]  # fmt: skip
    reviews = as_table(compute(whole, found), found, np.array([30, 40]), np.array([4, 0]), np.array(["review"] * 2))
    assert "click" not in reviews.columns
    assert "label" not in as_table(compute(whole, found), found, np.array([30, 40])).columns


def test_a_user_of_no_events_of_a_kind_that_the_data_lacks_is_asked_without_it():
    asked = Queries(ASKED.histories)
    assert compute(Context(tables(), asked, CHANNELS), FOUND)["user_purchases"].is_nan().all()


@pytest.mark.parametrize(
    "held", ["category._MOST_SETS", "transitions._MOST_ENTRIES"], ids=["categories", "transitions"]
)
def test_what_is_too_large_to_be_held_is_looked_up_with_the_same_outcome(held, monkeypatch):
    whole = context(ASKED, FOUND)
    expected = compute(whole, FOUND)
    monkeypatch.setattr(f"genrec.rank.features.{held}", 0)
    fresh = dataclasses.replace(whole, tables=dataclasses.replace(whole.tables))  # with nothing kept
    for name, column in compute(fresh, FOUND).to_dict().items():
        np.testing.assert_array_equal(column, expected[name], err_msg=name)
    for number in range(len(ASKED)):
        alone = compute(*one(ASKED, FOUND, fresh, number))
        for name, column in compute(*one(ASKED, FOUND, whole, number)).to_dict().items():
            np.testing.assert_array_equal(alone[name], column, err_msg=name)


def test_features_at_the_moment_of_requests_are_those_of_any_queries_at_that_moment():
    moment = tables().served_moment
    served = dataclasses.replace(ASKED, now=np.full(len(ASKED), moment))
    later = dataclasses.replace(ASKED, now=np.append(np.full(len(ASKED) - 1, moment), moment + DAY))
    looked_up, computed = compute(context(served, FOUND), FOUND), compute(context(later, FOUND), FOUND)
    assert looked_up["idle_days"].is_finite().any()
    for name, column in looked_up.to_dict().items():  # the last query, of another moment, has no candidate
        np.testing.assert_array_equal(column, computed[name], err_msg=name)
