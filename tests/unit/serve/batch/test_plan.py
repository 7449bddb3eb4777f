"""Shards: every user in exactly one, of the asked size, the same ones in each attempt."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import RecommendConfig
from genrec.errors import DataError
from genrec.serve.batch import plan as module
from genrec.serve.batch.plan import USERS_FILE, make_plan
from genrec.tables import CATALOGUE, CATALOGUE_FILE, INTERACTIONS_FILE
from tests.support.batch_tiny import types_of, write_events


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A catalogue of two items."""
    folder = tmp_path_factory.mktemp("prepared")
    texts = {name: [""] * 2 for name in ("title", "description", "brand")}
    categories = [["shop", "garden"], ["shop", "kitchen"]]
    CATALOGUE_FILE.write(
        CATALOGUE.empty_table().from_pydict(
            {"item": [0, 1], "item_id": ["i0", "i1"], **texts, "categories": categories, "train_count": [3, 1]},
            schema=CATALOGUE,
        ),
        folder,
    )
    return folder


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    size=st.integers(1, 5),
    batch_rows=st.integers(1, 9),
    groups=st.integers(1, 9),
)
def test_each_shard_holds_whole_users_and_no_user_is_in_two(
    tmp_path_factory, prepared, counts, size, batch_rows, groups
):
    folder = tmp_path_factory.mktemp("plan")
    events = [(f"u{user:02}", "i0", day, "click") for user, count in enumerate(counts) for day in range(count)]
    write_events(folder, events, row_group_size=groups)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_BATCH_ROWS", batch_rows)
        plan = make_plan(folder, prepared, types_of(folder), RecommendConfig(shard_size=size), folder)
    users = INTERACTIONS_FILE.read(folder)["user_id"].to_numpy()
    assert np.concatenate([users[start:stop] for start, stop in plan.shards]).tolist() == users.tolist()
    sizes = [len(set(users[start:stop])) for start, stop in plan.shards]
    assert sizes[:-1] == [size] * (len(sizes) - 1)
    assert sum(sizes) == len(counts)


def test_the_plan_of_the_first_attempt_stays(tmp_path, prepared, monkeypatch):
    write_events(tmp_path, [("a", "i0", 0, "click"), ("b", "i0", 1, "click")])
    config = RecommendConfig(shard_size=1)
    first = make_plan(tmp_path, prepared, {"click": 2}, config, tmp_path)
    monkeypatch.setattr(module.time, "time", lambda: 0.0)
    assert make_plan(tmp_path, prepared, {"click": 2}, config, tmp_path) == first
    assert first.made_at_ms > 0


def test_the_users_of_a_file_are_cut_into_row_groups_of_a_shard_each(tmp_path, prepared):
    write_events(tmp_path, [("a", "i0", 0, "click")])
    (tmp_path / "users.txt").write_text("c\na\nb\nc\n")
    config = RecommendConfig(shard_size=2, users=str(tmp_path / "users.txt"))
    plan = make_plan(tmp_path, prepared, {"click": 1}, config, tmp_path)
    assert (plan.shards, plan.chosen, plan.repeated_users) == ([(0, 2), (2, 3)], True, 1)
    file = pq.ParquetFile(tmp_path / USERS_FILE)
    assert [file.read_row_group(group)["user_id"].to_pylist() for group in (0, 1)] == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ({"in_stock": ["x", "y"]}, "recommend.in_stock: the 2 ids are not in the catalogue, which has ids like 'i0'"),
        ({"in_stock": []}, "recommend.in_stock: the 0 ids are not in the catalogue"),
        ({"categories": ["office"]}, "no item has the category 'office'; there are garden, kitchen, shop"),
        ({"in_stock": ["i0"], "categories": ["kitchen"]}, "recommend.categories: no item in stock has one of them"),
        (
            {"not_bought_days": 3, "bought_events": ["order"]},
            "recommend.bought_events: no event is a 'order'; the data has click",
        ),
    ],
)
def test_a_filter_that_means_nothing_in_this_data_is_refused_before_any_search(tmp_path, prepared, settings_, says):
    write_events(tmp_path, [("a", "i0", 0, "click")])
    with pytest.raises(DataError) as error:
        make_plan(tmp_path, prepared, {"click": 1}, RecommendConfig(**settings_), tmp_path)
    assert says in str(error.value)


@pytest.mark.parametrize("setting", ["not_bought_days", "active_days"])
def test_days_are_refused_where_timestamps_are_positions(tmp_path, prepared, setting, monkeypatch):
    monkeypatch.setattr("tests.support.batch_tiny.T0_MS", 0)
    monkeypatch.setattr("tests.support.batch_tiny.DAY_MS", 1)
    write_events(tmp_path, [("a", "i0", 0, "purchase"), ("a", "i1", 1, "purchase")])
    with pytest.raises(DataError, match=f"recommend.{setting}: needs times"):
        make_plan(tmp_path, prepared, {"purchase": 2}, RecommendConfig(**{setting: 3}), tmp_path)


def test_events_that_are_not_sorted_by_user_are_refused(tmp_path, prepared):
    write_events(tmp_path, [("a", "i0", 0, "click"), ("b", "i0", 0, "click")])
    table = INTERACTIONS_FILE.read(tmp_path)
    pq.write_table(table.take([1, 0]), INTERACTIONS_FILE.path(tmp_path))
    with pytest.raises(DataError, match="not sorted by user"):
        make_plan(tmp_path, prepared, {"click": 2}, RecommendConfig(), tmp_path)
