"""Millions of generated reviews to sequences and both splits, in bounded memory, beside the row-by-row way.

    python -m tests.bench.bench_full_size --rows 1000000 5000000 20000000 --folder /big/disk

Reviews are generated once for the largest number of rows (see generate_reviews); smaller ones are its first files. The
functions of the stages ingest and prepare run in two worker processes, without Ray and Prefect. Beside them: zlib alone over
the same files, and json.loads a line with dicts and a k-core of Python sets on `--peer-rows` rows in one process, whose
cost a row is taken as constant. Memory is the sum of the proportional set sizes of all processes, ten times a second.
"""

import argparse
import gzip
import json
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from genrec.config import DataConfig, PrepareConfig
from genrec.data import ingest
from genrec.data.index import index
from genrec.data.merge import merge
from genrec.data.prepare import build_shard, merge_shards
from tests.bench.generate_reviews import generate

ROWS_A_FILE = 1_000_000
PROCESSES = 2


class Measured(NamedTuple):
    """Of one number of rows."""

    rows: int
    seconds: dict[str, float]  # by step
    cpu_s: dict[str, float]  # by step, of all processes
    peak_bytes: int
    gz_bytes: int
    text_bytes: int
    inflate_s: float  # CPU seconds of zlib alone
    summaries: dict[str, dict[str, Any]]


class Peak:
    """The largest memory of this process and its children together while in the `with`."""

    def __enter__(self) -> "Peak":
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        own = psutil.Process()
        while not self._done.wait(0.1):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)


def measure(source: Path, work: Path) -> Measured:
    """All steps on the files of `source`, in an empty folder `work`."""
    data = DataConfig(source="amazon2023", path=str(source), max_quarantine_share=1, max_share_without_metadata=1)
    seconds: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    summaries: dict[str, dict[str, Any]] = {}
    files = sorted(source.glob("*.jsonl.gz"))
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:

        def step(name: str, function: Callable[..., Any], calls: Sequence[tuple]) -> list[Any]:
            start, busy = time.perf_counter(), _cpu_s()
            results = [call.result() for call in [pool.submit(function, *call) for call in calls]]
            seconds[name], cpu_s[name] = time.perf_counter() - start, _cpu_s() - busy
            return results

        step("start", time.sleep, [(1.0,)] * PROCESSES)  # so that imports are not measured
        text_bytes = sum(step("zlib alone", inflate, [(path,) for path in files]))
        inflate_s = cpu_s["zlib alone"]
        for name in ("start", "zlib alone"):
            del seconds[name], cpu_s[name]
        with Peak() as peak:
            shards = ingest.plan(data, work / "raw")
            step("read", ingest.read_shard, [(shard, data, work / "parts") for shard in shards])
            (summaries["ingest"],) = step("merge", merge, [(work / "parts", data, work / "ingest")])
            for split in ("leave_one_out", "global_time"):
                folder = work / split
                config = PrepareConfig(split=split)
                step(f"index, {split}", index, [(work / "ingest", config, folder / "index")])
                slices = [(folder / "index", n, PROCESSES, folder / "parts") for n in range(PROCESSES)]
                step(f"sequences, {split}", build_shard, slices)
                parts = [(folder / "index", folder / "parts", folder / "out")]
                (summaries[split],) = step(f"put together, {split}", merge_shards, parts)
    gz_bytes = sum(path.stat().st_size for path in files)
    rows = summaries["ingest"]["interactions"] + sum(summaries["ingest"]["quarantined"].values())
    return Measured(rows, seconds, cpu_s, peak.bytes, gz_bytes, text_bytes, inflate_s, summaries)


def _cpu_s() -> float:
    """CPU seconds of the child processes so far."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(used.user + used.system for used in times)


def inflate(path: Path) -> int:
    """Decompress a file with zlib and count the bytes."""
    total, stream = 0, zlib.decompressobj(31)
    with path.open("rb") as file:
        while block := file.read(1 << 16):
            total += len(stream.decompress(block))
            if stream.eof:
                stream = zlib.decompressobj(31)
    return total


def row_by_row(files: Sequence[Path], num_rows: int, k: int = 5) -> float:
    """CPU seconds of the usual way: a dict a line, a k-core by counting in Python, sequences and leave-one-out by sorting."""
    start = time.process_time()
    events = []
    for line in islice(_lines(files), num_rows):
        row = json.loads(line)
        events.append((row["user_id"], row["parent_asin"], int(row["timestamp"])))
    events = list({(user, item): (user, item, when) for user, item, when in reversed(events)}.values())
    while True:
        of_user, of_item = Counter(event[0] for event in events), Counter(event[1] for event in events)
        kept = [event for event in events if of_user[event[0]] >= k and of_item[event[1]] >= k]
        if len(kept) == len(events):
            break
        events = kept
    sequences = defaultdict(list)
    for user, item, when in sorted(events, key=lambda event: event[2]):
        sequences[user].append((item, when))
    user_numbers = {user: number for number, user in enumerate(sorted(sequences))}
    item_numbers = {item: number for number, item in enumerate(sorted({event[1] for event in events}))}
    train, valid, test = {}, {}, {}
    for user, sequence in sequences.items():
        items = [item_numbers[item] for item, _ in sequence]
        train[user_numbers[user]], valid[user_numbers[user]], test[user_numbers[user]] = (
            items[:-2],
            items[-2],
            items[-1],
        )
    return time.process_time() - start


def _lines(files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        with gzip.open(path, "rt") as file:
            yield from file


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[ROWS_A_FILE])
    parser.add_argument("--peer-rows", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, help="where reviews are generated, and kept; else a temporary folder")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        reviews = (asked.folder or Path(scratch)) / "reviews"
        rows_a_file = min(ROWS_A_FILE, *asked.rows)
        if not reviews.is_dir():
            generate(reviews, max(asked.rows), -(-max(asked.rows) // rows_a_file), PROCESSES)
        files = sorted(reviews.glob("part_*"))
        for rows in sorted(asked.rows):
            source, work = Path(scratch) / "source", Path(scratch) / "work"
            source.mkdir()
            for path in [*files[: -(-rows // rows_a_file)], reviews / "meta_parts.jsonl.gz"]:
                (source / path.name).symlink_to(path.resolve())
            _show(measure(source, work))
            shutil.rmtree(work)
            shutil.rmtree(source)
        took = row_by_row(files, asked.peer_rows)
        print(
            f"row by row, one process: {took / asked.peer_rows * 1e6:.2f} CPU us a row ({asked.peer_rows:,} rows)",
            flush=True,
        )


def _show(measured: Measured) -> None:
    total, busy = sum(measured.seconds.values()), sum(measured.cpu_s.values())
    print(
        f"{measured.rows:,} rows of {measured.text_bytes / measured.rows:.0f} bytes ({measured.gz_bytes / 1e9:.2f} GB gz): "
        f"{total:.1f} s, {total / measured.rows * 1e6:.2f} us a row, {measured.rows / total:,.0f} rows/s, "
        f"{measured.text_bytes / total / 1e6:.0f} MB/s of text; reading at "
        f"{measured.inflate_s / measured.cpu_s['read']:.0%} of zlib alone ({measured.inflate_s:.1f} CPU s); "
        f"{busy:.1f} CPU s, {busy / measured.rows * 1e6:.2f} us a row; "
        f"peak {measured.peak_bytes / 2**30:.2f} GiB; load {os.getloadavg()[0]:.1f}"
    )
    steps = [f"{name} {took:.1f} s ({measured.cpu_s[name]:.1f} CPU)" for name, took in measured.seconds.items()]
    print("   " + ", ".join(steps))
    for name in ("leave_one_out", "global_time"):
        summary = measured.summaries[name]
        print(
            f"   {name}: {summary['users']:,} users, {summary['items']:,} items, {summary['interactions']:,} events",
            flush=True,
        )


if __name__ == "__main__":
    main()
