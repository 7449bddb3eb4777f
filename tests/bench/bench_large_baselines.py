"""Baselines on a large catalogue: time and peak memory of each, in a process of its own, on random power-law data.

    python -m tests.bench.bench_large_baselines [--items 100000] [--users 500000] [--events 10] [--measured 200000]
        [--heavy 1000000] [--choice-users 0] [--baselines itemcf swing ...]

The items of users are drawn by a Zipf law of exponent 1, so that the most popular one is met by most of them; user 0 has
`--heavy` events. Ranked are the test rows of a sample of the users, under both protocols. The options are the defaults
(`evaluate.choice_users: 0`, or `--choice-users`): a choice on validation fits again for each candidate. Peak memory is that of the whole
process, libraries and data included; the row `nothing` is a process that reads the data alone.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from genrec import tables
from genrec.config import EvaluateConfig
from genrec.embed.vectors import write_item_vectors
from genrec.measure.baselines import rank_baseline, read_training
from genrec.progress import silent

BASELINES = (
    *("popularity", "recent_popularity", "itemcf", "usercf", "swing", "transitions", "transition_hops"),
    *("content", "transition_rings", "als", "item2vec", "sasrec"),
)


def write_shop(folder: Path, num_users: int, num_items: int, mean_events: float, heavy: int, seed: int = 0) -> int:
    """Prepared data with the last event of each user as test target, the one before as validation; returns the events."""
    generator = np.random.default_rng(seed)
    lengths = 3 + generator.geometric(1 / max(1.0, mean_events - 2), num_users) - 1
    if heavy:
        lengths[0] = heavy
    shares = 1 / np.arange(1, num_items + 1)
    items = generator.choice(num_items, int(lengths.sum()), p=shares / shares.sum()).astype(np.int32)
    ends = np.cumsum(lengths)
    in_train = np.ones(len(items), dtype=bool)
    in_train[ends - 1] = in_train[ends - 2] = False
    counts = np.bincount(items[in_train], minlength=num_items)
    folder.mkdir(parents=True)
    names = pa.array([f"item {i}" for i in range(num_items)])
    empty = pa.array([""] * num_items)
    categories = pa.array([[f"category {i % 100}"] for i in range(num_items)])
    columns = [pa.array(range(num_items), pa.int32()), names, names, empty, empty, categories]
    catalogue = pa.table([*columns, pa.array(counts, pa.int32())], names=tables.CATALOGUE.names)
    tables.CATALOGUE_FILE.write(catalogue, folder)

    users = pa.array(range(num_users), pa.int32())

    def events(cut: int, kept: np.ndarray) -> list[pa.Array]:
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths - cut)]), pa.int32())
        times = np.arange(len(items))[kept]
        lists = (items[kept], pa.array(["review"]).take(pa.array(np.zeros(kept.sum(), np.int64))), times)
        return [pa.ListArray.from_arrays(offsets, part) for part in lists]

    tables.TRAIN_FILE.write(
        pa.Table.from_arrays([users, users.cast(pa.string()), *events(2, in_train)], schema=tables.SEQUENCES), folder
    )
    before_last = np.ones(len(items), dtype=bool)
    before_last[ends - 1] = False
    tables.HISTORIES_FILE.write(pa.Table.from_arrays([users, *events(1, before_last)], schema=tables.HISTORIES), folder)
    for file, last in ((tables.VALID_FILE, 2), (tables.TEST_FILE, 1)):
        target = {
            "user": users,
            "history_length": pa.array(lengths - last, pa.int32()),
            "target": items[ends - last],
            "target_event": pa.array(["review"] * num_users),
            "timestamp": pa.array(ends - last, pa.int64()),
        }
        file.write(pa.table(target), folder)
    return len(items)


def measure(
    prepared: Path, vectors: Path, name: str, sample_users: int, choice_users: int, out: Path
) -> dict[str, Any]:
    """Seconds, those of CPU time for all of it, and peak GiB of one baseline in this process."""
    began, busy = time.perf_counter(), time.process_time()
    if name == "nothing":
        read_training(prepared, vectors, 0, silent)
        record = {"fit_seconds": time.perf_counter() - began, "rank_seconds": 0.0}
    else:
        config = EvaluateConfig(baselines=[name], choice_users=choice_users, sample_users=sample_users)
        record = rank_baseline(prepared, vectors, config, 0, 0, out / name)
    busy = time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {**{k: record[k] for k in ("fit_seconds", "rank_seconds")}, "cpu_seconds": busy, "peak_gib": peak}


def main() -> None:
    parser = argparse.ArgumentParser()
    for option, default in (("items", 100_000), ("users", 500_000), ("measured", 200_000), ("heavy", 1_000_000)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--choice-users", type=int, default=0)
    parser.add_argument("--events", type=float, default=10)
    parser.add_argument("--baselines", nargs="*", default=BASELINES)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        count = write_shop(folder / "prepared", given.users, given.items, given.events, given.heavy)
        vectors = np.random.default_rng(0).standard_normal((given.items, 64), dtype=np.float32)
        write_item_vectors(vectors, folder / "vectors.parquet")
        print(f"{given.users:,} users, {given.items:,} items, {count:,} events; {given.measured:,} users measured")
        print(f"{'':18} {'fit s':>8} {'rank s':>8} {'CPU s':>8} {'peak GiB':>9}", flush=True)
        for name in ("nothing", *given.baselines):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                call = (
                    folder / "prepared",
                    folder / "vectors.parquet",
                    name,
                    given.measured,
                    given.choice_users,
                    folder / "parts",
                )
                found = pool.apply(measure, call)
            print(
                f"{name:18} {found['fit_seconds']:8.1f} {found['rank_seconds']:8.1f} {found['cpu_seconds']:8.1f} "
                f"{found['peak_gib']:9.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
