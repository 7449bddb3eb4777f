"""The HTTP endpoint under load: beside the bare search over the same histories, and beside the usual way to serve a model.

    python -m tests.bench.bench_api [--model STORE_OR_EXPORT] [--soak-s 600] [--free] [--locust]

The endpoint runs as a user starts it, `python -m flows api --export FOLDER`, as a process of its own on one core, the load
(`tests.bench.api_load`) on another; --free pins nothing. A round has each in turn: the bare search (`rank_users` without
HTTP, on the endpoint's core), the endpoint in closed loop by numbers of clients, the usual way (`tests.bench.api_peer`, on
the endpoint's core). Then, at half of the saturation load and at a tenth, open loop: Poisson arrivals. Rates are medians
over rounds, ratios medians of a round's ratios. The CPU time of a request is told besides: other programs on the
machine disturb it less than the rate. Without --model the model has the demo shop's shape and random weights.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import api_model
from tests.bench.api_servers import Memory, Server, slope_a_minute
from tests.bench.api_sides import Sides

Run = dict[str, Any]


def saturation(sides: Sides, ours: Server, peer: Server, arguments: argparse.Namespace) -> Run:
    """Rounds of bare search, endpoint and usual way, and what they come to."""
    rounds = []
    for number in range(arguments.repeats):
        one: Run = {"bare": sides.bare(arguments.seconds)}
        one["ours"] = {n: sides.load(ours, arguments.seconds, clients=n) for n in arguments.clients}
        one["peer"] = {n: sides.load(peer, arguments.seconds, clients=n) for n in arguments.peer_clients}
        rounds.append(one)
        _say(f"round {number}: bare {one['bare']['per_s']:.0f}/s, " + ", ".join(
            f"{side} {n} clients {run['per_s']:.0f}/s" for side in ("ours", "peer") for n, run in one[side].items()
        ))  # fmt: skip

    def middle(value: Callable[[Run], float]) -> float:
        return statistics.median(value(one) for one in rounds)

    def best(side: str) -> int:
        return max(rounds[0][side], key=lambda n: middle(lambda one: one[side][n]["per_s"]))

    n, m = best("ours"), best("peer")
    return {
        "bare_users_per_s": middle(lambda one: one["bare"]["per_s"]),
        "requests_per_s": middle(lambda one: one["ours"][n]["per_s"]),
        "peer_requests_per_s": middle(lambda one: one["peer"][m]["per_s"]),
        "share_of_bare": middle(lambda one: one["ours"][n]["per_s"] / one["bare"]["per_s"]),
        "times_the_peer": middle(lambda one: one["ours"][n]["per_s"] / one["peer"][m]["per_s"]),
        "by_cpu_time": {
            "bare_ms": middle(lambda one: one["bare"]["cpu_ms"]),
            "ours_ms": middle(lambda one: one["ours"][n]["cpu_ms"]),
            "peer_ms": middle(lambda one: one["peer"][m]["cpu_ms"]),
            "share_of_bare": middle(lambda one: one["bare"]["cpu_ms"] / one["ours"][n]["cpu_ms"]),
            "times_the_peer": middle(lambda one: one["peer"][m]["cpu_ms"] / one["ours"][n]["cpu_ms"]),
        },
        "clients": n,
        "peer_clients": m,
        "by_clients": {n: _middle_run([one["ours"][n] for one in rounds]) for n in arguments.clients},
        "peer_by_clients": {m: _middle_run([one["peer"][m] for one in rounds]) for m in arguments.peer_clients},
    }


def _middle_run(runs: Sequence[Run]) -> Run:
    """Medians over runs of one kind; their failures together."""
    failures: dict[str, int] = {}
    for run in runs:
        for kind, count in run["failures"].items():
            failures[kind] = failures.get(kind, 0) + count
    plain = {name: statistics.median(run[name] for run in runs) for name in ("per_s", "cpu_ms", "client_cores")}
    ms = {name: statistics.median(run["ms"][name] for run in runs) for name in ("p50", "p90", "p99", "max")}
    return {**plain, "ms": ms, "p99_by_p50": statistics.median(r["ms"]["p99"] / r["ms"]["p50"] for r in runs),
            "failures": failures}  # fmt: skip


def open_loop(sides: Sides, server: Server, rate: float, arguments: argparse.Namespace) -> Run:
    """Poisson arrivals at a rate, as often as there are rounds."""
    runs = []
    for seed in range(arguments.repeats):
        before = figures(server.get("/metrics"))
        run = sides.load(server, arguments.open_s, rate=rate, seed=seed)
        after = figures(server.get("/metrics"))
        run["batch"] = _mean(before, after, "genrec_batch_size")
        run["queue_ms"] = 1000 * _mean(before, after, "genrec_queue_seconds")
        runs.append(run)
    more = {name: statistics.median(run[name] for run in runs) for name in ("batch", "queue_ms")}
    return {"rate": rate, **_middle_run(runs), **more}


def figures(page: str) -> dict[str, float]:
    """Figures of a page for Prometheus, by name without labels; those of several labels are added up."""
    found: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)", page, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def _mean(before: dict[str, float], after: dict[str, float], name: str) -> float:
    """Mean of what a histogram saw in between."""
    total, count = (after[f"{name}_{part}"] - before[f"{name}_{part}"] for part in ("sum", "count"))
    return total / count if count else 0.0


def soak(sides: Sides, server: Server, rate: float, seconds: float) -> Run:
    """A long open loop: failures, latency, and the memory of the server's processes."""
    with Memory(server, every_s=max(1.0, seconds / 240)) as memory:
        run = sides.load(server, seconds, rate=rate)
    half = memory.mib[len(memory.mib) // 2 :]
    slope = slope_a_minute(memory.seconds, memory.mib)
    return {
        "seconds": seconds, "rate": rate, **run,
        "memory_mib": {"first": memory.mib[0], "half_time": half[0], "last": half[-1], "slope_a_minute": slope},
    }  # fmt: skip


def cold_starts(sides: Sides, number: int) -> Run:
    """Seconds from the start of a process to its first list: the endpoint, also in CPU time, and `Recommender.load`."""
    endpoint, cpu, in_python = [], [], []
    for _ in range(number):
        with sides.endpoint() as (server, seconds):
            endpoint.append(seconds)
            cpu.append(server.cpu_s())
        in_python.append(sides.start_in_python())
    return {"endpoint_s": endpoint, "endpoint_cpu_s": cpu, "python_s": in_python}


def measure(sides: Sides, arguments: argparse.Namespace) -> Run:
    """All figures."""
    report: Run = {"load_average": [os.getloadavg()]}
    report["cold_start"] = cold_starts(sides, arguments.repeats)
    _say(f"cold start {report['cold_start']}")
    with ExitStack() as stack:
        ours, _ = stack.enter_context(sides.endpoint(arguments.set))
        report["same_lists"] = sides.same_lists(ours)
        peer, _ = stack.enter_context(sides.peer())
        report["saturation"] = found = saturation(sides, ours, peer, arguments)
        for name, share in (("half_load", 0.5), ("tenth_load", 0.1)):
            report[name] = open_loop(sides, ours, share * found["requests_per_s"], arguments)
        if arguments.locust:
            report["locust"] = sides.locust(ours, int(arguments.seconds) + 5, found["clients"])
        report["load_average"].append(os.getloadavg())
        if arguments.soak_s:
            report["soak"] = soak(sides, ours, report["half_load"]["rate"], arguments.soak_s)
            report["load_average"].append(os.getloadavg())
    return report


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def rounded(value: Any) -> Any:
    """Floats of a report to four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="store with a trained model, or an exported folder")
    parser.add_argument("--items", type=int, default=800, help="of the random model")
    parser.add_argument("--histories", type=int, default=1024)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 64, 256, 512])
    parser.add_argument("--peer-clients", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement in closed loop")
    parser.add_argument("--open-s", type=float, default=20, help="of each measurement in open loop")
    parser.add_argument("--soak-s", type=float, default=0, help="at half load, at the end")
    parser.add_argument("--free", action="store_true", help="pin nothing to a core")
    parser.add_argument("--locust", action="store_true", help="what locust costs, beside")
    parser.add_argument(
        "--set", action="append", default=[], help="a setting of the endpoint, such as api.max_batch=32"
    )
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    pair = None if arguments.free or len(cores) < 2 else (cores[0], cores[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        api_model.export(arguments.model, folder / "model", arguments.items)
        num_items = len(api_model.load(folder / "model").engine.catalogue)
        histories = api_model.histories_of(arguments.model, num_items, arguments.histories)
        report = measure(Sides(folder, folder / "model", histories, pair), arguments)
    report["settings"] = {**vars(arguments), "cores": pair, "items": num_items}
    print(json.dumps(rounded(report), indent=2))


if __name__ == "__main__":
    main()
