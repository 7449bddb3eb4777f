"""Seconds from the start of Python to the first answer of an exported model, on one core.

    python -m tests.bench.bench_cold_start [--folder exported-model] [--repeats 3]

Without a folder, a model of a few thousand weights is exported first: nearly all of the time is imports. `wall_s` and `cpu_s`
are the least of the repeats; `load_s` is what `Recommender.load` took of the wall time, its imports included, and `answer_s` the
first answer. Every repeat is a process of its own; files are in the page cache after the first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from genrec.serve import bundle
from tests.support.serve_tiny import write_files

_COLD = """
import json, resource, sys, time
started = time.perf_counter()
from genrec import Recommender
recommender = Recommender.load(sys.argv[1], device="cpu")
loaded = time.perf_counter()
assert recommender.recommend(recommender.engine.catalogue.item_ids[:3], k=10)
answered = time.perf_counter()
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "load_s": round(loaded - started, 2),
    "answer_s": round(answered - loaded, 3),
    "cpu_s": round(used.ru_utime + used.ru_stime, 2),
    "peak_mib": used.ru_maxrss // 1024,
}))
"""


def cold_start(folder: Path) -> dict[str, float]:
    """One start in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _COLD, str(folder)], capture_output=True, text=True, check=True, env=environment
    )
    return {"wall_s": round(time.perf_counter() - began, 2), **json.loads(done.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder
        if folder is None:
            folder = Path(scratch) / "exported"
            bundle.write(write_files(Path(scratch) / "artifacts"), folder)
        starts = [cold_start(folder) for _ in range(chosen.repeats)]
    least = {name: min(start[name] for start in starts) for name in starts[0]}
    print(json.dumps({"folder": chosen.folder and str(chosen.folder), **least}))


if __name__ == "__main__":
    main()
