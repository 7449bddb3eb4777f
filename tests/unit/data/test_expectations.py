"""Expectations of the user: kept ones pass, and every broken one is named."""

import pyarrow as pa
import pytest

from genrec import tables
from genrec.config.expectations import ExpectationsConfig
from genrec.data.expectations import check_expectations
from genrec.errors import DataError
from tests.support.data_samples import T0_MS, write_ingested

DAY_S = 86_400
SUMMARY = {"users": 2, "items": 3, "interactions": 4, "items_without_text": 2, "timestamps": "clock"}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    events = [("a", "x", T0_MS), ("a", "y", T0_MS + 1), ("b", "z", T0_MS + 2), ("b", "x", T0_MS + 3)]
    folder = write_ingested(tmp_path_factory.mktemp("ingest"), events)
    items = {"item_id": ["x", "y"], "title": ["text", ""], "description": ["", ""], "brand": ["", ""]}
    tables.ITEMS_FILE.write(pa.table(items | {"categories": pa.array([[], []], pa.list_(pa.string()))}), folder)
    return folder


def broken(ingested, summary=SUMMARY, days=0.0, **expected):
    with pytest.raises(DataError) as raised:
        check_expectations(ExpectationsConfig(**expected), ingested, summary, T0_MS / 1000 + days * DAY_S)
    return str(raised.value)


def test_nothing_is_expected_unless_set(ingested):
    check_expectations(ExpectationsConfig(), ingested, SUMMARY)


def test_what_is_kept_passes_at_its_bound(ingested):
    kept = ExpectationsConfig(
        min_users=2, min_items=3, min_interactions=4, max_share_without_text=2 / 3, max_days_since_last_event=2
    )
    check_expectations(kept, ingested, SUMMARY, T0_MS / 1000 + 2 * DAY_S)


def test_every_breach_is_named_with_file_column_setting_and_what_was_found(ingested):
    said = broken(ingested, days=3, min_users=5, max_share_without_text=0.5, max_days_since_last_event=2)
    assert "interactions.parquet, column user_id, breaks data.expectations.min_users = 5: 2 users are there" in said
    assert "data.expectations.max_share_without_text = 0.5: 2 of 3 items with events (66.7%) have no text" in said
    assert "such as 'y', 'z'" in said
    assert "data.expectations.max_days_since_last_event = 2: the latest event is of 20" in said
    assert "3.0 days ago" in said


def test_positions_cannot_be_too_old(ingested):
    said = broken(ingested, {**SUMMARY, "timestamps": "position"}, max_days_since_last_event=1)
    assert "it holds positions" in said
