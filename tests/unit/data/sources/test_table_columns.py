"""Names and values of columns that a table may have beside its own."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.config import DataConfig, PrepareConfig
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, rows_with_histories, run_ingest, run_prepare

T = T0_MS // 1000


def _ingested(
    folder: Path, interactions: str, items: str = "item_id,title\na,A\n", **options: Any
) -> dict[str, pl.DataFrame]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "items.csv").write_text(items)
    if interactions:
        (folder / "interactions.csv").write_text(interactions)
    config = DataConfig(
        source="table", path=str(folder), options=options, max_quarantine_share=1, max_share_without_metadata=1
    )
    run_ingest(config, folder / "run")
    return {
        name: pl.read_parquet(folder / f"run/ingest/{name}.parquet") for name in ("interactions", "items", "quarantine")
    }


@pytest.mark.parametrize("values", [("77", "78", "79"), ("shoes", "bags", "hats")])
def test_a_column_called_line_is_one_like_others(tmp_path: Path, values: tuple[str, ...]) -> None:
    events = [("u", "a", T), ("u", "", T), ("u", "a", T)]
    rows = [f"{user},{item},{time},{value}" for (user, item, time), value in zip(events, values, strict=True)]
    found = _ingested(tmp_path, "\n".join(["user_id,item_id,timestamp,line", *rows, ""]), ignore=["line"])
    assert found["interactions"]["item_id"].to_list() == ["a"]
    aside = {(row["line"], row["reason"]) for row in found["quarantine"].iter_rows(named=True)}
    assert aside == {(3, "missing_item"), (4, "duplicate_event")}
    assert values[1] in found["quarantine"].filter(pl.col("line") == 3)["record"][0]


def test_a_column_called_line_may_be_the_brand(tmp_path: Path) -> None:
    items = "item_id,title,line\na,A,Trail\nb,B,Road\n"
    found = _ingested(tmp_path, f"user_id,item_id,timestamp\nu,a,{T}\n", items, brand="line")
    assert dict(found["items"].select("item_id", "brand").iter_rows()) == {"a": "Trail", "b": "Road"}


def test_values_in_folders_are_those_that_arrow_wrote(tmp_path: Path) -> None:
    events = ["add to cart", "view/detail", "50% off"]
    table = pa.table({"user_id": ["u"] * 3, "item_id": list("abc"), "timestamp": [T, T + 1, T + 2], "event": events})
    pq.write_to_dataset(table, str(tmp_path / "interactions"), partition_cols=["event"])
    found = _ingested(tmp_path, "")
    assert found["interactions"].sort("timestamp")["event"].to_list() == events


def test_the_default_event_is_written_as_events_are(tmp_path: Path) -> None:
    rows = f"user_id,item_id,timestamp,event\nu,a,{T},PURCHASE\nu,b,{T},\n"
    found = _ingested(tmp_path, rows, default_event=" Purchase ")
    assert found["interactions"]["event"].to_list() == ["purchase", "purchase"]


@pytest.mark.parametrize("name", ["default_event", "category_delimiter"])
def test_an_empty_option_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"data\.options\.{name}: empty"):
        _ingested(tmp_path, f"user_id,item_id,timestamp\nu,a,{T}\n", **{name: ""})


def test_a_given_split_with_a_test_event_before_one_that_is_learned_is_refused(tmp_path: Path) -> None:
    parts = ["train", "test", "train", "valid"]
    rows = [
        f"{user},{item},{T + n},{part}"
        for user in "uv"
        for n, (item, part) in enumerate(zip("abcd", parts, strict=True))
    ]
    _ingested(tmp_path, "\n".join(["user_id,item_id,timestamp,event", *rows, ""]))
    with pytest.raises(DataError, match="user 'u' has an event of the part test before one of train or valid"):
        run_prepare(tmp_path / "run/ingest", PrepareConfig(split="given"), tmp_path / "run")


def test_events_of_one_time_are_in_the_order_of_their_parts_and_history_may_come_last(tmp_path: Path) -> None:
    """As in files of the parts that are read by name: test before train before valid."""
    rows = [("d", 3, "test"), ("a", 1, "train"), ("b", 2, "train"), ("c", 3, "valid"), ("e", 4, "history")]
    lines = [f"u,{item},{T + day * 86_400},{part}" for item, day, part in rows]
    _ingested(tmp_path, "\n".join(["user_id,item_id,timestamp,event", *lines, ""]))
    run_prepare(tmp_path / "run/ingest", PrepareConfig(split="given"), tmp_path / "run")
    items = pl.read_parquet(tmp_path / "run/prepared/catalogue.parquet")["item_id"]
    found = {
        part: [
            ([items[i] for i in row["history"]], items[row["target"]])
            for row in rows_with_histories(tmp_path / f"run/prepared/{part}.parquet")
        ]
        for part in ("valid", "test")
    }
    assert found == {"valid": [(["a", "b"], "c")], "test": [(["a", "b", "c"], "d")]}
