"""Damaged files among many good ones: does the rest come out as without them, and what does the damage cost?

python -m tests.bench.bench_damaged --files 1000

Good files of reviews (.jsonl.gz and .jsonl.zst by turns), and a tenth as many that are truncated, empty, no compressed
file at all, or damaged in the middle. Prints rows, time and whether the artifacts have the same bytes.
"""

import argparse
import gzip
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard

from genrec.config import DataConfig
from genrec.data import ingest

ROWS = 50
ARTIFACTS = ("interactions.parquet", "items.parquet")
T0_MS = 1_600_000_000_000
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda text: gzip.compress(text, 1),
    ".zst": lambda text: zstandard.ZstdCompressor(write_checksum=True).compress(text),
}


def write_reviews(folder: Path, number: int) -> Path:
    """A file of ROWS reviews by some users."""
    draw = random.Random(number)
    rows = [
        {
            "user_id": f"u{number}-{draw.randrange(9)}",
            "parent_asin": f"i{draw.randrange(500)}",
            "rating": 5.0,
            "timestamp": T0_MS + n,
            "text": " ".join(str(draw.random()) for _ in range(12)),
        }
        for n in range(ROWS)
    ]
    suffix = list(PACK)[number % 2]
    path = folder / f"r{number:05d}.jsonl{suffix}"
    path.write_bytes(PACK[suffix]("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def damage(path: Path, how: int) -> None:
    """Truncate, empty, replace or overwrite in the middle."""
    content, middle = path.read_bytes(), path.stat().st_size // 2
    noise = random.Random(how).randbytes(60)
    path.write_bytes([content[:middle], b"", noise, content[:middle] + noise + content[middle + 60 :]][how % 4])


def run(folder: Path, work: Path) -> tuple[dict[str, Any], float]:
    """The summary of ingest over a folder, and its seconds in one process."""
    config = DataConfig(source="amazon2023", path=str(folder))
    started = time.perf_counter()
    ingest.read_shards(ingest.plan(config, work), config, work / "parts")
    summary = ingest.merge(work / "parts", config, work / "out")
    return summary, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    num_files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as name:
        clean, mixed = Path(name) / "clean", Path(name) / "mixed"
        clean.mkdir()
        (clean / "meta_a.jsonl").write_text("".join(f'{{"parent_asin": "i{i}", "title": "T"}}\n' for i in range(500)))
        for n in range(num_files):
            write_reviews(clean, n)
        shutil.copytree(clean, mixed)
        bad = [write_reviews(mixed, num_files + n) for n in range(num_files // 10)]
        for n, path in enumerate(bad):
            damage(path, n // 2)  # of both compressions each
        for what, folder in (("without damaged files", clean), ("with them", mixed)):
            summary, seconds = run(folder, Path(name) / f"{folder.name}-run")
            print(f"{what:24}{summary['interactions']:>10,} interactions {seconds:8.1f} s  {summary['quarantined']}")
            print("".join(f"    {text}\n" for text in summary["warnings"]), end="")
        same = [
            (Path(name) / "clean-run/out" / file).read_bytes() == (Path(name) / "mixed-run/out" / file).read_bytes()
            for file in ARTIFACTS
        ]
        print(f"{num_files} good files, {len(bad)} damaged; same bytes: {dict(zip(ARTIFACTS, same, strict=True))}")


if __name__ == "__main__":
    main()
