"""Whole histories: what prepare has of a user, in all its files together, the newest event included."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec import tables
from genrec.config import PrepareConfig, RecommendConfig
from genrec.errors import DataError
from genrec.serve.batch.events import read_events
from genrec.serve.batch.lists import histories
from genrec.serve.batch.plan import make_plan
from tests.support.batch_tiny import T0_MS, write_events
from tests.support.data_samples import run_prepare

EVENT = st.tuples(
    st.sampled_from([f"u{n}" for n in range(6)]),
    st.sampled_from([f"i{n}" for n in range(6)]),
    st.integers(0, 20),
    st.sampled_from(["click", "purchase"]),
)


def _histories(folder, prepared, config=None, **settings_):
    """Item ids of every user's history."""
    config = config or PrepareConfig()
    asked = RecommendConfig(**{"shard_size": 2, **settings_})
    work = folder / "work"
    work.mkdir(exist_ok=True)
    plan = make_plan(folder, prepared, {"click": 1, "purchase": 1}, asked, work)
    ids = tables.CATALOGUE_FILE.read(prepared)["item_id"].combine_chunks()
    found = {}
    for shard in range(len(plan.shards)):
        events = read_events(folder, work, plan, shard, ids, config, asked)
        read = histories(events, config.dedupe == "user_item")
        found |= {
            user: [ids[i].as_py() for i in items] for user, items in zip(events.users.to_pylist(), read, strict=True)
        }
    return found


def _of_prepare(prepared):
    """Item ids of every user of prepared data: the training sequence, or the events up to the last target and that one."""
    ids = tables.CATALOGUE_FILE.read(prepared)["item_id"].to_pylist()
    users = tables.USERS_FILE.read(prepared)["user_id"].to_pylist()
    whole = {row["user"]: row["items"] for row in tables.TRAIN_FILE.read(prepared).to_pylist()}
    before = {row["user"]: row["items"] for row in tables.HISTORIES_FILE.read(prepared).to_pylist()}
    for file in (tables.VALID_FILE, tables.TEST_FILE):
        for row in file.read(prepared).to_pylist():
            if row["history_length"] == len(before[row["user"]]):
                whole[row["user"]] = [*before[row["user"]], row["target"]]
    return {users[user]: [ids[item] for item in items] for user, items in whole.items()}


@settings(max_examples=20, deadline=None)
@given(
    events=st.lists(EVENT, min_size=4, max_size=60),
    split=st.sampled_from(["leave_one_out", "global_time"]),
    k_core=st.integers(1, 3),
    dedupe=st.sampled_from(["user_item", "none"]),
    only=st.sampled_from([None, ["purchase"]]),
    groups=st.integers(1, 30),
)
def test_a_history_is_all_that_prepare_has_of_a_user_and_the_newest_event_is_its_last(
    tmp_path_factory, events, split, k_core, dedupe, only, groups
):
    folder = tmp_path_factory.mktemp("whole")
    write_events(folder, events, row_group_size=groups)
    tables.write_table(tables.ITEMS.empty_table(), folder / "items.parquet", tables.ITEMS)
    config = PrepareConfig(split=split, k_core=k_core, dedupe=dedupe, events=only)
    try:
        run_prepare(folder, config, folder, num_shards=1)
    except DataError:
        return  # the filters leave nothing to train on
    found, expected = _histories(folder, folder / "prepared", config), _of_prepare(folder / "prepared")
    assert {user: found[user] for user in expected} == expected
    assert found.keys() == {event[0] for event in events}


@pytest.fixture
def three_users(tmp_path):
    """Users a, b and c with events on days 0 to 9; items i0 to i3 are known, x is not."""
    events = [("a", f"i{day % 4}", day, "click") for day in range(8)]
    events += [("b", "x", 1, "click"), ("b", "i1", 2, "purchase"), ("c", "x", 9, "purchase")]
    write_events(tmp_path, events, row_group_size=3)
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    texts = {name: [""] * 4 for name in ("title", "description", "brand")}
    columns = {"item": range(4), "item_id": [f"i{n}" for n in range(4)], **texts, "categories": [[]] * 4}
    table = pa.table({**columns, "train_count": [1] * 4}, schema=tables.CATALOGUE)
    tables.CATALOGUE_FILE.write(table, prepared)
    return tmp_path


def test_an_item_that_the_model_does_not_know_is_skipped_and_its_user_stays(three_users):
    found = _histories(three_users, three_users / "prepared")
    assert found == {"a": ["i0", "i1", "i2", "i3"], "b": ["i1"], "c": []}


def test_only_active_users_are_kept(three_users):
    assert _histories(three_users, three_users / "prepared", active_days=2.5).keys() == {"a", "c"}


def test_the_users_of_a_file_get_their_events_and_unknown_ones_none(three_users):
    file = three_users / "users.txt"
    file.write_text("b\nzz\nab\n0\na\n")
    found = _histories(three_users, three_users / "prepared", users=str(file))
    assert found == {"0": [], "a": ["i0", "i1", "i2", "i3"], "ab": [], "b": ["i1"], "zz": []}


def test_a_purchase_counts_as_recent_by_days_before_the_newest_event_and_whatever_the_history_holds(three_users):
    config = RecommendConfig(not_bought_days=7)
    plan = make_plan(three_users, three_users / "prepared", {"purchase": 2}, config, three_users)
    assert plan.newest_ms == T0_MS + 9 * 86_400_000
    ids = pa.array([f"i{n}" for n in range(4)])
    events = read_events(three_users, three_users, plan, 0, ids, PrepareConfig(events=["click"]), config)
    bought = [
        (int(u), int(i)) for u, i in zip(events.owner[events.is_bought], events.item[events.is_bought], strict=True)
    ]
    assert bought == [(1, 1), (2, -1)]
    assert not events.in_history[events.is_bought].any()
