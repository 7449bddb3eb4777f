"""One user with a million events and one item with ten million: what that takes of ingest and prepare.

    python -m tests.bench.bench_heavy_rows --rows 12000000 --folder /big/disk

Two tables of the same number of events (Parquet, a million rows a file), users and items, times in whole seconds:

- even: every user has as many events as every other; items are drawn from a power law.
- heavy: five events of six of every user are of one item, and one user has a million events beside.

Repeats stay (`prepare.dedupe: none`), so that both get through the core. The functions of both stages run in two worker processes, without Ray and Prefect, both splits side by side; each table in a
process of its own. Memory is the sum of the proportional set sizes of all processes, ten times a second.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.config import DataConfig
from tests.bench.bench_full_size import PROCESSES, Peak, stages

EVENTS_A_USER = 6
ROWS_A_FILE = 1_000_000
KINDS = ("even", "heavy")
_FIRST_S, _LAST_S = 1_200_000_000, 1_690_000_000


def write_events(folder: Path, kind: str, rows: int, num_items: int, heavy_user: int) -> tuple[int, int]:
    """Write the table; returns how many events the user and the item with the most of them have.

    Both kinds hold `rows` + `heavy_user` events: those of one user in `heavy`, spread over all in `even`.
    """
    rng = np.random.default_rng(0)
    num_users = rows // EVENTS_A_USER
    users = np.repeat(np.arange(num_users), EVENTS_A_USER)
    more = np.zeros(heavy_user, np.int64) if kind == "heavy" else rng.integers(0, num_users, heavy_user)
    users = np.concatenate([users, more])
    items = 1 + ((num_items - 1) * rng.random(len(users)) ** 3).astype(np.int64)
    if kind == "heavy":
        items[:rows][np.arange(rows) % EVENTS_A_USER > 0] = 0
    order = rng.permutation(len(users))
    users, items = users[order], items[order]
    times = rng.integers(_FIRST_S, _LAST_S, len(users))
    folder.mkdir(parents=True)
    for part, start in enumerate(range(0, len(users), ROWS_A_FILE)):
        stop = start + ROWS_A_FILE
        columns = {"user_id": users[start:stop], "item_id": items[start:stop], "timestamp": times[start:stop]}
        frame = pl.DataFrame(columns).with_columns(
            pl.format("user {}", "user_id").alias("user_id"), pl.format("item {}", "item_id").alias("item_id")
        )
        frame.write_parquet(folder / f"interactions-{part:03d}.parquet")
    pl.DataFrame({"item_id": [f"item {n}" for n in range(num_items)], "title": ["a title"] * num_items}).write_parquet(
        folder / "items.parquet"
    )
    return int(np.bincount(users).max()), int(np.bincount(items).max())


def measure(source: Path, work: Path) -> dict[str, Any]:
    """Seconds by step, peak bytes and what was found, in the empty folder `work`."""
    data = DataConfig(source="table", path=str(source), max_share_without_metadata=1)
    seconds: dict[str, float] = {}
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:

        def step(name: str, function: Callable[..., Any], calls: Sequence[tuple]) -> list[Any]:
            start = time.perf_counter()
            results = [call.result() for call in [pool.submit(function, *call) for call in calls]]
            seconds[name] = time.perf_counter() - start
            return results

        step("start", time.sleep, [(1.0,)] * PROCESSES)  # so that imports are not measured
        del seconds["start"]
        with Peak() as peak:
            summaries = stages(data, work, step, dedupe="none")
    return {"seconds": seconds, "peak_bytes": peak.bytes, "summaries": summaries}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=12_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--heavy-user", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where tables and stages are written; else a temporary folder")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        for kind in KINDS:
            source, work = Path(scratch) / kind, Path(scratch) / "work"
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                most = pool.apply(write_events, (source, kind, asked.rows, asked.items, asked.heavy_user))
            measured = measure(source, work)
            _show(kind, most, measured)
            shutil.rmtree(work)
            shutil.rmtree(source)


def _show(kind: str, most: tuple[int, int], measured: dict[str, Any]) -> None:
    steps = ", ".join(f"{name} {took:.1f} s" for name, took in measured["seconds"].items())
    print(
        f"{kind}: most events of a user {most[0]:,}, of an item {most[1]:,}; {sum(measured['seconds'].values()):.1f} s, peak "
        f"{measured['peak_bytes'] / 2**30:.2f} GiB; load {os.getloadavg()[0]:.1f}\n   {steps}"
    )
    for name, found in measured["summaries"].items():
        if name != "ingest":
            print(
                f"   {name}: {found['users']:,} users, {found['items']:,} items, {found['interactions']:,} events",
                flush=True,
            )


if __name__ == "__main__":
    main()
