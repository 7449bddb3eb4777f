"""Targets with their histories as rows, written as the prepare stage writes them."""

from pathlib import Path

import pyarrow as pa

from genrec import tables

Rows = list[tuple[int, list[int], int]]


def write_targets(folder: Path, event: str = "click", **parts: Rows) -> None:
    """<name>.parquet of every part, rows of (user, history, target), and histories.parquet behind them all.

    The histories of a user must be beginnings of the longest one.
    """
    longest: dict[int, list[int]] = {}
    for user, history, _ in sorted((row for rows in parts.values() for row in rows), key=lambda row: len(row[1])):
        assert history[: len(longest.get(user, []))] == longest.get(user, [])
        longest[user] = history
    owners = sorted(longest)
    histories = {
        "user": owners,
        "items": [longest[user] for user in owners],
        "events": [[event] * len(longest[user]) for user in owners],
        "timestamps": [list(range(len(longest[user]))) for user in owners],
    }
    table = pa.table(histories, schema=tables.HISTORIES)
    tables.write_table(table, folder / "histories.parquet", tables.HISTORIES)
    for name, rows in parts.items():
        columns = {
            "user": [user for user, _, _ in rows],
            "history_length": [len(history) for _, history, _ in rows],
            "target": [target for _, _, target in rows],
            "target_event": [event] * len(rows),
            "timestamp": [0] * len(rows),
        }
        tables.write_table(pa.table(columns, schema=tables.TARGETS), folder / f"{name}.parquet", tables.TARGETS)
