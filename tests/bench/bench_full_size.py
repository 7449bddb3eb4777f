"""Millions of generated reviews to sequences and both splits, in bounded memory, beside the row-by-row way.

    python -m tests.bench.bench_full_size --rows 1000000 5000000 20000000 --folder /big/disk

Reviews are generated once for the largest number of rows (see generate_reviews); smaller ones are its first files. The
functions of the stages ingest and prepare run in two worker processes, without Ray and Prefect; the two splits are prepared
side by side. Beside them: zlib alone over the same files, and the row-by-row way (tests/bench/row_by_row.py) in one process
on `--peer-rows` rows generated for it, whose cost a row is taken as constant; it must find the users, items and events that
genrec finds. Memory is the sum of the proportional set sizes of all processes, ten times a second.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil

from genrec.config import DataConfig, PrepareConfig
from genrec.data import ingest
from genrec.data.index import index
from genrec.data.merge import merge
from genrec.data.prepare import build_shard, merge_shards
from tests.bench.generate_reviews import generate
from tests.bench.row_by_row import row_by_row

ROWS_A_FILE = 1_000_000
PROCESSES = 2
SPLITS: tuple[Literal["leave_one_out", "global_time"], ...] = ("leave_one_out", "global_time")


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
            summaries = stages(data, work, step)
    gz_bytes = sum(path.stat().st_size for path in files)
    rows = summaries["ingest"]["interactions"] + sum(summaries["ingest"]["quarantined"].values())
    return Measured(rows, seconds, cpu_s, peak.bytes, gz_bytes, text_bytes, inflate_s, summaries)


def stages(
    data: DataConfig,
    work: Path,
    step: Callable[[str, Callable[..., Any], Sequence[tuple]], list[Any]],
    dedupe: Literal["user_item", "none"] = "user_item",
) -> dict[str, dict[str, Any]]:
    """Ingest and both splits of prepare in the empty folder `work`; `step` makes the calls of a step. What each found."""
    shards = ingest.plan(data, work / "raw")
    step("read", ingest.read_shard, [(shard, data, work / "parts") for shard in shards])
    (merged,) = step("merge", merge, [(work / "parts", data, work / "ingest")])
    folders = {split: work / split for split in SPLITS}
    configs = {split: PrepareConfig(split=split, dedupe=dedupe) for split in SPLITS}
    step("index", index, [(work / "ingest", configs[s], folder / "index") for s, folder in folders.items()])
    places = [(folder / "index", folder / "parts", folder / "out") for folder in folders.values()]
    slices = [(index, n, PROCESSES, parts) for index, parts, _ in places for n in range(PROCESSES)]
    step("sequences", build_shard, slices)
    return {"ingest": merged, **dict(zip(SPLITS, step("put together", merge_shards, places), strict=True))}


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


def compare(folder: Path, rows: int) -> None:
    """The row-by-row way and genrec on the same generated reviews, made in the empty folder `folder`."""
    generate(folder / "reviews", rows, PROCESSES, PROCESSES)
    files, metadata = sorted((folder / "reviews").glob("part_*")), folder / "reviews" / "meta_parts.jsonl.gz"
    measured = measure(folder / "reviews", folder / "genrec")
    expected = {s: tuple(measured.summaries[s][name] for name in ("users", "items", "interactions")) for s in SPLITS}
    ours = sum(measured.seconds.values())
    print(f"genrec on the {rows:,} rows of the peer: {ours / rows * 1e6:.2f} us a row by the clock")
    for fields in (False, True):
        out = folder / f"peer-{fields}"
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found, clock, busy = pool.submit(_timed, files, metadata, out, fields).result()
        if found != expected:
            raise SystemExit(f"the row-by-row way found {found}, genrec {expected}")
        print(
            f"row by row, one process, {'some fields' if fields else 'whole reviews'} held: {clock / rows * 1e6:.2f} us a row by "
            f"the clock, {busy / rows * 1e6:.2f} CPU: {clock / ours:.1f} times as long as genrec on its rows; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def _timed(files: Sequence[Path], metadata: Path, out: Path, fields: bool) -> tuple[dict, float, float]:
    start, busy = time.perf_counter(), time.process_time()
    found = row_by_row(files, metadata, out, fields=fields)
    return found, time.perf_counter() - start, time.process_time() - busy


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
        if asked.peer_rows:
            compare(Path(scratch) / "peer", asked.peer_rows)


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
    for name in SPLITS:
        summary = measured.summaries[name]
        print(
            f"   {name}: {summary['users']:,} users, {summary['items']:,} items, {summary['interactions']:,} events",
            flush=True,
        )


if __name__ == "__main__":
    main()
