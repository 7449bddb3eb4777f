"""k-core, splits and sequences."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genrec import tables
from genrec.config import DataConfig, PrepareConfig
from genrec.data.kcore import k_core
from genrec.errors import DataError
from tests.support.data_samples import (
    T0_MS,
    review,
    rows_with_histories,
    run_ingest,
    run_prepare,
    write_ingested,
    write_lines,
)

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=90)
DAY = 86_400_000


def _naive_core(pairs: list[tuple[int, int]], k: int) -> list[int]:
    kept = list(range(len(pairs)))
    while True:
        users = Counter(pairs[n][0] for n in kept)
        items = Counter(pairs[n][1] for n in kept)
        bad = next((n for n in kept if users[pairs[n][0]] < k or items[pairs[n][1]] < k), None)
        if bad is None:
            return kept
        kept.remove(bad)


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.integers(1, 5))
def test_the_k_core_equals_the_fixpoint_of_removing_one_row_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]], k: int
) -> None:
    users, items = (np.array([p[side] for p in pairs], dtype=np.int32) for side in (0, 1))
    chunks = lambda: iter([{"user": users[n : n + 7], "item": items[n : n + 7]} for n in range(0, len(pairs), 7)])  # noqa: E731
    core = k_core(chunks, 10, 10, k, tmp_path_factory.mktemp("core"))
    kept = core.users[users] & core.items[items]
    assert np.flatnonzero(kept).tolist() == _naive_core(pairs, k)
    assert core.num_events == kept.sum()
    assert core.user_counts.tolist() == np.bincount(users[kept], minlength=10).tolist()
    assert (core.all_events, core.all_users) == (len(pairs), len(set(users)))


def _events(draw: st.DrawFn) -> list[tuple[str, str, int]]:
    users = draw(st.integers(2, 9))
    return [
        (f"u{user}", f"i{item}", T0_MS + draw(st.integers(0, 30)) * DAY)
        for user in range(users)
        for item in draw(st.lists(st.integers(0, 6), min_size=0, max_size=7, unique=True))
    ]


EVENT_LISTS = st.composite(_events)()


@settings(max_examples=25, deadline=None)
@given(
    events=EVENT_LISTS,
    split=st.sampled_from(["leave_one_out", "global_time"]),
    on=st.sampled_from(["auto", "training"]),
    k=st.integers(1, 3),
)
@example(events=[], split="global_time", on="auto", k=1)
def test_splits_are_disjoint_complete_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, int]], split: str, on: str, k: int
) -> None:
    folder = tmp_path_factory.mktemp("prepare")
    ingested = write_ingested(folder / "ingest", events)
    config = PrepareConfig(split=split, k_core=k, k_core_on=on)
    try:
        summary = run_prepare(ingested, config, folder, num_shards=1)
    except DataError as error:
        failure = str(error)
        pairs = [(int(user[1:]), int(item[1:])) for user, item, _ in events]
        assert "no training event" in failure or "training events each" in failure or not _naive_core(pairs, k)
        return
    index = pl.read_parquet(folder / "index/events.parquet")
    train = tables.read_table(folder / "prepared/train.parquet", tables.SEQUENCES).to_pylist()
    valid, test = (rows_with_histories(folder / f"prepared/{name}.parquet") for name in ("valid", "test"))
    rows = [(row["user"], item) for row in train for item in row["items"]]
    rows += [(row["user"], row["target"]) for row in valid + test]
    predicted_or_learnt = summary["interactions"] - summary["targets_without_history"] - summary["history_events"]
    assert len(rows) == len(set(rows)) == predicted_or_learnt
    assert set(rows) <= set(index.select("user", "item").iter_rows())
    trained = {row["user"]: row["items"] for row in train}
    for row in valid + test:
        before = index.filter(pl.col("user") == row["user"])["item"].to_list()
        assert row["history"] == before[: before.index(row["target"])] != []
        if split == "leave_one_out" and row["user"] in trained:
            assert row["history"][: len(trained[row["user"]])] == trained[row["user"]]
            held_out = len(row["history"]) - len(trained[row["user"]])  # the validation event may be no known item
            assert held_out in ({0} if row in valid else {1} if on == "auto" else {0, 1})
    if split == "global_time":
        newest = max(t for row in train for t in row["timestamps"])
        assert all(row["timestamp"] > newest for row in valid + test)
    catalogue = tables.read_table(folder / "prepared/catalogue.parquet", tables.CATALOGUE).to_pydict()
    counts = Counter(item for row in train for item in row["items"])
    assert catalogue["item"] == list(range(summary["items"]))
    assert catalogue["item_id"] == sorted(catalogue["item_id"])
    assert catalogue["train_count"] == [counts[item] for item in catalogue["item"]]
    if summary["k_core_on"] == "training":
        of_users = Counter({row["user"]: len(row["items"]) for row in train})
        assert min(catalogue["train_count"]) >= k
        assert sorted(of_users) == list(range(summary["train_users"]))
        assert min(of_users.values()) >= k


def _some_events(seed: int = 0) -> list[tuple[str, str, int]]:
    rng = np.random.default_rng(seed)
    pairs = {(int(u), int(i)) for u, i in zip(rng.integers(0, 20, 400), rng.integers(0, 25, 400), strict=True)}
    return [(f"u{u}", f"i{i}", T0_MS + int(rng.integers(0, 300)) * DAY) for u, i in sorted(pairs)]


@pytest.mark.parametrize("split", ["leave_one_out", "global_time"])
def test_the_number_of_shards_changes_nothing(tmp_path: Path, split: str) -> None:
    ingested = write_ingested(tmp_path / "ingest", _some_events())
    config = PrepareConfig(split=split, k_core=2)
    for number in (1, 3, 22):  # 22: more than there are users
        run_prepare(ingested, config, tmp_path / str(number), number)
    for name in ("train", "histories", "valid", "test", "catalogue", "users"):
        bytes_of = {(tmp_path / number / f"prepared/{name}.parquet").read_bytes() for number in ("1", "3", "22")}
        assert len(bytes_of) == 1, name


def test_ties_in_time_stay_in_file_order(tmp_path: Path) -> None:
    events = [("u", item, T0_MS) for item in ("z", "a", "m", "b")]
    run_prepare(write_ingested(tmp_path / "ingest", events), PrepareConfig(k_core=1), tmp_path)
    names = tables.read_table(tmp_path / "prepared/catalogue.parquet")["item_id"].to_pylist()
    test = rows_with_histories(tmp_path / "prepared/test.parquet")
    assert [names[i] for i in [*test[0]["history"], test[0]["target"]]] == ["z", "a", "m", "b"]


def test_short_users_are_trained_on_and_never_predicted(tmp_path: Path) -> None:
    events = [("a", "x", T0_MS), ("a", "y", T0_MS + 1), ("b", "x", T0_MS), ("c", "x", 1), ("c", "y", 2), ("c", "z", 3)]
    summary = run_prepare(write_ingested(tmp_path / "ingest", events), PrepareConfig(k_core=1), tmp_path)
    assert (summary["users"], summary["valid_targets"], summary["test_targets"]) == (3, 1, 1)
    assert summary["train_events"] == 4
    train = tables.read_table(tmp_path / "prepared/train.parquet").to_pylist()
    assert [(row["user_id"], len(row["items"])) for row in train] == [("a", 2), ("b", 1), ("c", 1)]


def _ingest_rows(folder: Path, rows: list[tuple[str, str, int, str, float | None]]) -> Path:
    folder.mkdir()
    frame = pl.DataFrame(rows, schema=tables.INTERACTIONS.names, orient="row", infer_schema_length=None)
    tables.write_table(frame.to_arrow(), folder / "interactions.parquet", tables.INTERACTIONS)
    tables.write_table(tables.ITEMS.empty_table(), folder / "items.parquet", tables.ITEMS)
    return folder


def test_filters_drop_what_they_say(tmp_path: Path) -> None:
    rows: list[tuple[str, str, int, str, float | None]] = [
        ("u", "a", 1, "click", None),
        ("u", "a", 2, "purchase", 5.0),
        ("u", "b", 3, "purchase", 2.0),
        ("u", "c", 4, "purchase", None),
        ("u", "c", 5, "purchase", 4.0),
    ]
    ingested = _ingest_rows(tmp_path / "ingest", rows)
    kept = lambda name, **settings: (  # noqa: E731
        run_prepare(ingested, PrepareConfig(k_core=1, **settings), tmp_path / name)["dropped"],
        pl.read_parquet(tmp_path / name / "index/events.parquet")["timestamp"].to_list(),
    )
    assert kept("all") == ({"k_core": 0, "repeat": 2}, [1, 3, 4])
    assert kept("bought", events=["purchase"]) == ({"event": 1, "k_core": 0, "repeat": 1}, [2, 3, 4])
    assert kept("liked", min_rating=4.0) == ({"rating": 1, "k_core": 0, "repeat": 2}, [1, 4])
    assert kept("repeats", dedupe="none") == ({"k_core": 0}, [1, 2, 3, 4, 5])
    with pytest.raises(DataError, match=r"no event is a 'buy'; the data has click, purchase"):
        kept("unknown", events=["buy"])


def test_an_empty_core_and_positions_as_times_are_clear_errors(tmp_path: Path) -> None:
    ingested = write_ingested(tmp_path / "ingest", [("u", "a", 0), ("u", "b", 1)])
    with pytest.raises(DataError, match=r"prepare\.k_core: no user and item is left with 5 events"):
        run_prepare(ingested, PrepareConfig(), tmp_path / "core")
    with pytest.raises(DataError, match=r"global_time needs times, .* set prepare\.split to leave_one_out"):
        run_prepare(ingested, PrepareConfig(k_core=1, split="global_time"), tmp_path / "time")


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"), [("scientific", 8317, 4344, 58492), ("beauty", 22363, 12101, 198502)]
)
def test_a_five_core_of_real_reviews_survives_whole(
    shared_data: Path, tmp_path: Path, name: str, users: int, items: int, interactions: int
) -> None:
    run_ingest(DataConfig(source="table", path=str(shared_data / name)), tmp_path)
    summary = run_prepare(tmp_path / "ingest", PrepareConfig(), tmp_path)
    assert (summary["users"], summary["items"], summary["interactions"]) == (users, items, interactions)
    assert summary["valid_targets"] == summary["test_targets"] == users


# ---- k_core_on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["store [1]", "a*b?", "{x,y}"])
def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "store 1").mkdir()  # what a pattern would find
    folder = tmp_path / name
    rows = [review(f"u{u}", f"i{i}", day=i) for u in range(4) for i in range(4)]
    write_lines(folder / "shop" / "reviews.jsonl", rows)
    run_ingest(DataConfig(source="amazon2023", path=str(folder / "shop")), folder)
    summary = run_prepare(folder / "ingest", PrepareConfig(k_core=2), folder)
    assert summary["users"] == summary["items"] == 4


def test_a_given_split_keeps_every_row_with_all_that_stands_before_it(tmp_path: Path) -> None:
    rows = [
        ("u1", "a", 0, "train"),
        ("u1", "b", 1, "train"),
        ("u1", "a", 2, "valid"),  # a repeat stays
        ("u1", "c", 3, "test"),
        ("u2", "b", 0, "history"),  # an item and users below any k-core
        ("u2", "d", 1, "test"),
        ("u2", "a", 2, "test"),
    ]
    folder = write_ingested(tmp_path / "in", [row[:3] for row in rows])
    path = folder / "interactions.parquet"
    events = pl.read_parquet(path).with_columns(pl.Series("event", [row[3] for row in rows]))
    tables.write_table(events.to_arrow(), path, tables.INTERACTIONS)
    summary = run_prepare(folder, PrepareConfig(split="given", k_core=5), tmp_path)
    assert summary["k_core_on"] == "none"
    assert (summary["interactions"], summary["train_events"], summary["history_events"]) == (7, 2, 1)
    prepared = tmp_path / "prepared"
    item_ids = tables.CATALOGUE_FILE.read(prepared)["item_id"].to_pylist()
    train = tables.TRAIN_FILE.read(prepared).to_pylist()
    assert [(row["user_id"], [item_ids[i] for i in row["items"]]) for row in train] == [("u1", ["a", "b"])]

    def written(name: str) -> list[tuple[str, str]]:
        found = rows_with_histories(prepared / name)
        return [("".join(item_ids[i] for i in row["history"]), item_ids[row["target"]]) for row in found]

    assert written("valid.parquet") == [("ab", "a")]
    assert written("test.parquet") == [("aba", "c"), ("b", "d"), ("bd", "a")]
    assert {row["target_event"] for row in rows_with_histories(prepared / "test.parquet")} == {"review"}
