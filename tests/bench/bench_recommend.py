"""Lists for every customer beside the bare search, and the memory of a whole batch.

    python -m tests.bench.bench_recommend [--store .genrec] [--run latest] [--users 2048] [--repeats 5]
    python -m tests.bench.bench_recommend --whole 100000 1000000 [--limit-s 1200]

Needs a store with a finished run. Customers are made by drawing histories of the run's users, with ids of their own.

Side by side, in one process and one thread: `batch` is a shard from interactions.parquet to its own part on the disk
(read, mapped, searched, written, synced), `bare` is `rank_users` alone over the same histories, which are in memory.
Repeats alternate, rates are users a second of CPU time, the ratio is the median over the repeats.

`--whole` makes the lists of so many customers by Ray tasks on this machine's cores and shows users a second and the peak
memory of all its processes together (proportional set size). Where the time limit ends it earlier, it says how many
customers had their lists by then.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from genrec.config import PrepareConfig, RecommendConfig, ResourcesConfig
from genrec.search.decode import rank_users
from genrec.serve import model_files
from genrec.serve.batch.events import read_events
from genrec.serve.batch.lists import histories
from genrec.serve.batch.plan import Plan, make_plan
from genrec.serve.batch.shard import Model, engine_of, finished, recommend_shard
from genrec.tables import INTERACTIONS, INTERACTIONS_FILE

ROWS = 1 << 20  # of a row group, as ingest writes them
AT_ONCE = 8  # shards between two looks at the clock


def write_customers(ingest: Path, num_users: int, out: Path, seed: int = 0) -> None:
    """interactions.parquet of `num_users` customers with histories drawn from those of a run, sorted as ingest does."""
    source = INTERACTIONS_FILE.read(ingest)
    users = source["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    counts = np.diff(np.append(starts, len(users)))
    rng = np.random.default_rng(seed)
    with pq.ParquetWriter(INTERACTIONS_FILE.path(out), INTERACTIONS, compression="zstd") as writer:
        chunk = max(1, ROWS // int(counts.mean()))
        for first in range(0, num_users, chunk):
            drawn = rng.integers(0, len(starts), min(chunk, num_users - first))
            before = np.cumsum(counts[drawn]) - counts[drawn]
            rows = np.repeat(starts[drawn] - before, counts[drawn]) + np.arange(counts[drawn].sum())
            ids = pa.array([f"C{first + n:09d}" for n in range(len(drawn))])
            table = source.take(pa.array(rows))
            owners = ids.take(pa.array(np.repeat(np.arange(len(drawn)), counts[drawn])))
            writer.write_table(table.set_column(0, INTERACTIONS.field(0), owners), row_group_size=ROWS)


def model_of(store: str, run: str) -> tuple[Model, Path, dict[str, int], PrepareConfig]:
    """(the model, the folder of its events, their types, how histories are read)."""
    files = model_files.in_store_at(store, run)
    objects = Path(files.catalogue).parents[1]
    key = next(stage["key"] for stage in files.report["stages"] if stage["name"] == "ingest")
    summary = json.loads((objects / key / "manifest.json").read_text())["summary"]
    model = Model(files.model_key, files.catalogue.parent, files.embed, files.sids, files.base, files.model)
    return model, objects / key, summary["events"], PrepareConfig(**files.report["config"]["prepare"])


def side_by_side(model: Model, ingest: Path, events: dict[str, int], prepare: PrepareConfig, args) -> dict:
    """Rates of both sides on the same customers."""
    config = RecommendConfig(shard_size=args.users, batch_size=args.batch_size)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_customers(ingest, args.users, work)
        plan = make_plan(work, model.prepare, events, config, work)
        engine = engine_of(model, config, "fp32", "cpu")
        item_ids = pa.array(engine.catalogue.item_ids)
        read = histories(read_events(work, work, plan, 0, item_ids, prepare, config), prepare.dedupe == "user_item")

        def batch() -> None:
            recommend_shard(work, model, prepare, config, "fp32", plan, 0, work, "cpu")

        def bare() -> None:
            rank_users(
                engine.policy, read, engine.catalogue.sids, engine.catalogue.trie, config.beam_width,
                banned=read, batch_size=config.batch_size,
            )  # fmt: skip

        rates: dict[str, list[float]] = {"batch": [], "bare": []}
        for repeat in range(args.repeats + 1):
            for side, work_of in (("batch", batch), ("bare", bare)):
                start = time.process_time()
                work_of()
                if repeat:  # the first one warms up
                    rates[side].append(args.users / (time.process_time() - start))
    ratios = [a / b for a, b in zip(rates["batch"], rates["bare"], strict=True)]
    return {
        "users_per_s": {side: round(statistics.median(values), 1) for side, values in rates.items()},
        "range": {side: [round(min(v), 1), round(max(v), 1)] for side, v in rates.items()},
        "ratio": round(statistics.median(ratios), 3),
    }


class PeakMemory:
    """The most that this process and all below it held at one time, in bytes, looked at twice a second."""

    def __enter__(self) -> "PeakMemory":
        self.bytes, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.5):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)


def whole(model: Model, ingest: Path, events: dict[str, int], prepare: PrepareConfig, num_users: int, args) -> dict:
    """A whole batch by Ray tasks: its rate and its peak memory."""
    from tasks.ray.cluster import run_tasks

    resources, config = ResourcesConfig(num_cpus=args.cores), RecommendConfig(batch_size=args.batch_size)
    folder = Path(tempfile.mkdtemp(prefix="customers-"))
    try:
        write_customers(ingest, num_users, folder)
        with PeakMemory() as peak:
            start = time.perf_counter()
            planned = {"ingest": folder, "prepared": model.prepare, "events": events, "config": config, "work": folder}
            plan: Plan = run_tasks("recommend", make_plan, [planned], resources, folder)[0]
            planned_s = time.perf_counter() - start
            common = {"ingest": folder, "model": model, "prepare": prepare, "config": config, "precision": "fp32"}
            calls = [{**common, "plan": plan, "shard": n, "work": folder} for n in range(len(plan.shards))]
            done = 0
            for first in range(0, len(calls), AT_ONCE):
                if time.perf_counter() - start > args.limit_s:
                    break
                run_tasks("recommend", recommend_shard, calls[first : first + AT_ONCE], resources, folder)
                done = min(first + AT_ONCE, len(calls))
            seconds = time.perf_counter() - start
        users = sum((finished(folder, shard) or {"users": 0})["users"] for shard in range(done))
        return {
            **{"asked": num_users, "users": users, "shards": done, "seconds": round(seconds, 1)},
            **{"users_per_s": round(users / seconds, 1), "plan_s": round(planned_s, 1)},
            "peak_memory_mb": round(peak.bytes / 2**20),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=".genrec")
    parser.add_argument("--run", default="latest")
    parser.add_argument("--users", type=int, default=2048, help="customers of a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--whole", type=int, nargs="*", default=[], help="whole batches of so many customers")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--limit-s", type=float, default=1200.0, help="seconds after which a whole batch is stopped")
    args = parser.parse_args()
    if not (Path(args.store) / "runs" / args.run / "report.json").is_file():
        sys.exit(f"{args.store}: no finished run {args.run} there; make run, or name another --store")
    torch.set_num_threads(1)
    found = model_of(args.store, args.run)
    if not args.whole:
        print(json.dumps(side_by_side(*found, args), indent=2))
    for num_users in args.whole:
        print(json.dumps(whole(*found, num_users, args), indent=2), flush=True)
    if args.whole:
        from tasks.ray.cluster import disconnect

        disconnect()


if __name__ == "__main__":
    main()
