"""Targets with their histories as rows, written as the prepare stage writes them."""

from pathlib import Path

import pyarrow as pa

from genrec import tables

Rows = list[tuple[int, list[int], int]]


def write_targets(folder: Path, event: str = "click", **parts: Rows) -> None:
    """<name>.parquet of every part, rows of (user, history, target).

    The histories of a user must be beginnings of the longest one.
    """
    for name, rows in parts.items():
        columns = {
            "user": [user for user, _, _ in rows],
            "history": [history for _, history, _ in rows],
            "history_events": [[event] * len(history) for _, history, _ in rows],
            "target": [target for _, _, target in rows],
            "target_event": [event] * len(rows),
            "timestamp": [0] * len(rows),
        }
        tables.write_table(pa.table(columns, schema=tables.TARGETS), folder / f"{name}.parquet", tables.TARGETS)
