"""What ranking costs a request: the same engine with the stage rank's model and without, in turn, a request at a time.

    python -m tests.bench.bench_ranked [--store STORE] [--requests 100] [--rounds 5] [--http]

Wall time and CPU time of `Engine.answer` for lists of 10, medians over requests and then over rounds, on one thread; the
ratio is that of a round. Besides what each channel takes. --http: the same of two endpoints, asked in turn by one client
that waits for its answer; a wall time is the median of a round's requests then, CPU time that of the server's processes for an
answer. Without --store the model is a tiny one of 30 items.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.serve import bundle
from genrec.serve.engine import Engine
from genrec.serve.model_files import LATEST, ModelFiles
from genrec.serve.query import Query
from genrec.serve.ranked.engine import RankedEngine
from genrec.serve.recommender import find_files, load_engine
from tests.bench import api_model
from tests.bench.api_sides import Sides
from tests.support.ranked_serving import plain, write_ranked

_HTTP_SECONDS = 3.0  # of one round of one endpoint


def medians_ms(work: Callable[[int], object], number: int) -> tuple[float, float]:
    """Wall and CPU milliseconds of `number` calls, medians."""
    wall, cpu = [], []
    for place in range(number):
        began, used = time.perf_counter(), time.thread_time()
        work(place)
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.thread_time() - used))
    return statistics.median(wall), statistics.median(cpu)


def measure(ranked: RankedEngine, other: Engine, histories: Sequence[np.ndarray], rounds: int) -> dict[str, Any]:
    """{plain, ranked, ratio: {wall_ms, cpu_ms} each; channels: CPU ms by name}."""
    ids = other.catalogue.item_ids
    queries = [Query([ids[item] for item in history]) for history in histories]
    found: dict[str, list[tuple[float, float]]] = {"plain": [], "ranked": []}
    for engine in (other, ranked):
        engine.warm_up()
    for _ in range(rounds):
        for name, engine in (("plain", other), ("ranked", ranked)):
            found[name].append(medians_ms(lambda place, engine=engine: engine.answer([queries[place]]), len(queries)))
    report = summary(found)
    report["channels"] = {
        name: medians_ms(lambda place, top=top: top([histories[place]], 200, [histories[place]]), len(histories))[1]
        for name, top in ranked.ranking.channels.items()
    }
    return report


def measure_http(ranked: ModelFiles, folder: Path, histories: Sequence[np.ndarray], rounds: int) -> dict[str, Any]:
    """{plain, ranked, ratio: {wall_ms, cpu_ms}} of the endpoint."""
    cores = sorted(os.sched_getaffinity(0))
    pair = (cores[0], cores[1]) if len(cores) > 1 else None
    runs: dict[str, list[tuple[float, float]]] = {"plain": [], "ranked": []}
    with ExitStack() as stack:
        sides = []
        for name, files in (("plain", plain(ranked)), ("ranked", ranked)):
            bundle.write(files, folder / name / "model")
            side = Sides(folder / name, folder / name / "model", list(histories), pair)
            sides.append((name, side, stack.enter_context(side.endpoint())[0]))
        for _ in range(rounds):
            for name, side, server in sides:
                run = side.load(server, _HTTP_SECONDS, clients=1)
                runs[name].append((run["ms"]["p50"], run["cpu_ms"]))
    return summary(runs)


def summary(found: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Any]:
    """Medians of (wall, CPU) milliseconds over rounds, and of the ratios of a round."""
    ratios = [(b[0] / a[0], b[1] / a[1]) for a, b in zip(found["plain"], found["ranked"], strict=True)]
    parts = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    parts["ratio"] = [statistics.median(column) for column in zip(*ratios, strict=True)]
    return {name: dict(zip(("wall_ms", "cpu_ms"), row, strict=True)) for name, row in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", help="store whose latest run has the stage rank")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--http", action="store_true", help="the endpoint too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = arguments.store
        files = find_files(store, LATEST, rank=True) if store else write_ranked(Path(folder) / "shop")
        ranked, other = load_engine(files, "cpu"), load_engine(plain(files), "cpu")
        if not isinstance(ranked, RankedEngine):
            raise SystemExit(f"{files.where}; train one with rank.enabled=true")
        histories = api_model.histories_of(store, len(other.catalogue), arguments.requests)
        report = measure(ranked, other, histories, arguments.rounds)
        if arguments.http:
            report["http"] = measure_http(files, Path(folder), histories, arguments.rounds)
    print(json.dumps({"model": files.where, **report}, indent=1, default=float))


if __name__ == "__main__":
    main()
