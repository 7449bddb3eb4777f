"""Ids, search and fine-tuning of catalogues of up to a million items and more.

    python -m tests.bench.bench_million [ids] [search] [train] [--items 10000 100000]
    python -m tests.bench.bench_million ids --items 1000000 --methods rqkmeans --data /tmp/million

Vectors are synthetic (`tests.bench.million_data`: Gaussians around uneven centres, copies among them), ids have 3 levels of
256 codes unless said otherwise. `ids`: the sid stage step by step. `search`: beam 20 for 128 users under the ids of the
first tokenizer (kept in `--data`), by a random model of the default shape, and what it holds in memory. `train`: steps of
fine-tuning. Every part and size runs in a process of its own and prints a line of JSON as soon as it has a figure.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PARTS = ("ids", "search", "train")


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def say(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def ids_file(data: Path, num_items: int) -> Path:
    return data / f"ids-{num_items}.npy"


def measure_ids(num_items: int, args: argparse.Namespace) -> None:
    from genrec.config import SidConfig
    from tests.bench import million_ids

    for place, method in enumerate(args.methods):
        seconds: dict[str, float] = {}

        def step(name: str, run: Callable[[], Any], method: str = method, seconds: dict[str, float] = seconds) -> Any:
            start, busy = time.perf_counter(), time.process_time()
            found = run()
            seconds[name], busy = time.perf_counter() - start, time.process_time() - busy
            figures = {"s": round(seconds[name], 2), "cpu_s": round(busy, 2), "peak_gib": round(peak_gib(), 2)}
            say(items=num_items, method=method, step=name, **figures)
            return found

        config = SidConfig(
            method=method,
            num_levels=args.levels,
            num_codes=args.codes,
            options=json.loads(args.options),
            refit=not args.no_refit,
        )
        keep = ids_file(args.data, num_items) if not place else None
        figures = million_ids.measure(num_items, config, step, keep)
        load = round(os.getloadavg()[0], 2)
        say(items=num_items, method=method, total_s=round(sum(seconds.values()), 1), load=load, **figures)


def measure_search(num_items: int, args: argparse.Namespace) -> None:
    from tests.bench import million_search

    million_search.measure(num_items, ids_file(args.data, num_items), say, peak_gib)


def measure_train(num_items: int, args: argparse.Namespace) -> None:
    from tests.bench import million_train

    million_train.measure(num_items, say, peak_gib)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--methods", nargs="+", default=["rqkmeans", "rqkmeans_balanced", "rqvae"])
    parser.add_argument("--options", default="{}", help="of the tokenizer, as JSON")
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--codes", type=int, default=256)
    parser.add_argument("--no-refit", action="store_true", help="without the second fit (sid.refit)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--data", type=Path, help="folder for the ids between parts; by default one that goes again")
    parser.add_argument("--alone", action="store_true", help="measure the one part and size in this process")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if args.alone:
        torch.set_num_threads(args.threads)
        measures = {"ids": measure_ids, "search": measure_search, "train": measure_train}
        measures[args.parts[0]](args.items[0], args)
        return
    with tempfile.TemporaryDirectory() as scratch:
        data = args.data or Path(scratch)
        data.mkdir(parents=True, exist_ok=True)
        options = ["--options", args.options, "--levels", str(args.levels), "--codes", str(args.codes)]
        options += ["--no-refit"] if args.no_refit else []
        for part in args.parts:
            for num_items in args.items:
                command = [sys.executable, "-m", "tests.bench.bench_million", part, "--alone", "--data", str(data)]
                command += ["--items", str(num_items), "--threads", str(args.threads), *options]
                subprocess.run([*command, "--methods", *args.methods], check=True)


if __name__ == "__main__":
    main()
