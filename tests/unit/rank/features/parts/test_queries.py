"""Queries of a split: histories with their times and kinds, and the moment."""

import numpy as np
import pyarrow as pa

from genrec import tables
from genrec.rank.features.parts.queries import read_queries


def write(folder, name, schema, **columns):
    table = pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)
    tables.write_table(table, folder / name, schema)


def test_a_row_has_the_events_before_its_target_and_the_time_of_the_target(tmp_path):
    write(
        tmp_path, "histories.parquet", tables.HISTORIES, user=[2, 5], items=[[7, 8, 9], [1, 3]],
        events=[["click", "purchase", "click"], ["review", "purchase"]], timestamps=[[10, 20, 30], [5, 6]],
    )  # fmt: skip
    write(
        tmp_path, "valid.parquet", tables.TARGETS, user=[2, 5, 2], history_length=[2, 1, 3], target=[9, 3, 4],
        target_event=["click", "purchase", "click"], timestamp=[30, 6, 40],
    )  # fmt: skip
    asked = read_queries(tmp_path, "valid")
    assert [h.tolist() for h in asked.queries.histories] == [[7, 8], [1], [7, 8, 9]]
    assert [t.tolist() for t in asked.queries.times] == [[10, 20], [5], [10, 20, 30]]
    assert [b.tolist() for b in asked.queries.bought] == [[False, True], [False], [False, True, False]]
    assert asked.queries.now.tolist() == [30, 6, 40]
    assert (asked.users.tolist(), asked.targets.tolist()) == ([2, 5, 2], [9, 3, 4])
    np.testing.assert_array_equal(asked.events, ["click", "purchase", "click"])
    some = read_queries(tmp_path, "valid", np.array([0, 2]))
    assert [t.tolist() for t in some.queries.times] == [[10, 20], [10, 20, 30]]
    assert some.queries.now.tolist() == [30, 40]
    assert (some.users.tolist(), some.targets.tolist(), some.events.tolist()) == ([2, 2], [9, 4], ["click", "click"])
