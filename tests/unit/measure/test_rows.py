"""Rows to be predicted, and the same rows in the item numbers of another catalogue."""

import numpy as np
import pyarrow as pa
import pytest

from genrec import tables
from genrec.measure.rows import SAMPLE_SEED, described_sample, measured_rows, read_rows, sampled, shards
from tests.support.evaluate_tiny import NUM_USERS, write_prepared
from tests.support.targets import write_targets


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("rows") / "prepared")


def test_rows_hold_everything_before_their_target(prepared):
    train = tables.read_table(prepared / "train.parquet")["items"].to_pylist()
    valid, test = read_rows(prepared, "valid"), read_rows(prepared, "test")
    assert valid.users.tolist() == test.users.tolist() == list(range(NUM_USERS))
    assert [h.tolist() for h in valid.histories] == train
    assert [h.tolist() for h in test.histories] == [[*h, t] for h, t in zip(train, valid.targets.tolist(), strict=True)]


@pytest.mark.parametrize("places", [slice(3, 7), slice(10, 99), slice(5, 5), np.array([4, 1])], ids=str)
def test_rows_are_read_in_a_range_or_at_places(prepared, places):
    whole, rows = read_rows(prepared, "test"), read_rows(prepared, "test", places)
    assert rows.users.tolist() == whole.users[places].tolist()
    assert rows.targets.tolist() == whole.targets[places].tolist()
    wanted = np.arange(len(whole))[places]
    assert [h.tolist() for h in rows.histories] == [whole.histories[i].tolist() for i in wanted]


@pytest.mark.parametrize("num_shards", [1, 5, 100])
def test_shards_cover_every_row_once(prepared, num_shards):
    bounds = shards(prepared, num_shards)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(NUM_USERS))
    assert all(stop > start for start, stop in bounds)
    assert len(bounds) == min(num_shards, NUM_USERS)


def _catalogue(folder, item_ids):
    folder.mkdir()
    count = len(item_ids)
    columns = {
        "item": pa.array(range(count), pa.int32()),
        "item_id": item_ids,
        **{name: [""] * count for name in ("title", "description", "brand")},
        "categories": pa.array([[]] * count, pa.list_(pa.string())),
        "train_count": pa.array([1] * count, pa.int32()),
    }
    tables.write_table(pa.table(columns), folder / "catalogue.parquet", tables.CATALOGUE)
    return folder


def test_rows_are_told_in_the_item_numbers_of_another_catalogue(tmp_path):
    ids = ["new", "c", "b", "a"]
    known = [(["new", "a", "b"], "c"), (["new"], "a"), (["b"], "new"), (["c", "new", "new", "a"], "b")]
    new, old = _catalogue(tmp_path / "new", ids), _catalogue(tmp_path / "old", ["a", "gone", "b", "c"])
    numbers = [
        (user, [ids.index(i) for i in history], ids.index(target)) for user, (history, target) in enumerate(known)
    ]
    write_targets(new, test=numbers)
    rows = read_rows(new, "test", trained_on=old)
    assert [h.tolist() for h in rows.histories] == [[0, 2], [], [2], [3, 0]]
    assert rows.targets.tolist() == [3, 0, 4, 2]  # 4: behind the last item, in no list


def test_of_more_users_than_are_wanted_a_fixed_sample_is_measured_with_all_its_rows(tmp_path):
    numbers = [(user, [0] * length, 1) for user in range(40) for length in (1, 2, 3)[: 1 + user % 3]]
    tmp_path.mkdir(exist_ok=True)
    write_targets(tmp_path, test=numbers, valid=numbers)
    users = np.array([user for user, _, _ in numbers])
    places = sampled(tmp_path, "test", 7)
    drawn = np.unique(users[places])
    assert len(drawn) == 7
    assert places.tolist() == np.flatnonzero(np.isin(users, drawn)).tolist()
    assert sampled(tmp_path, "valid", 7).tolist() == places.tolist()
    about = {"users": 7, "of_users": 40, "of_rows": len(users), "seed": SAMPLE_SEED}
    assert described_sample(tmp_path, "test", 7) == about
    assert measured_rows(tmp_path, {"sample": about}).tolist() == places.tolist()
    bounds = shards(tmp_path, 3, "test", 7)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(len(places)))


@pytest.mark.parametrize("most", [0, 12, 1000])
def test_no_row_is_left_out_where_there_are_no_more_users(prepared, most):
    assert sampled(prepared, "test", most).tolist() == list(range(NUM_USERS))
    assert described_sample(prepared, "test", most) is None
    assert measured_rows(prepared, {}).tolist() == list(range(NUM_USERS))
