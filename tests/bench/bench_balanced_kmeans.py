"""Balanced k-means: ours beside k-means-constrained (min-cost flow), in one process, on the same points.

    .venv/bin/pip install k-means-constrained       # the peer; it is no dependency and not in the lock
    python -m tests.bench.bench_balanced_kmeans [--points 10000] [--dim 256] [--clusters 256] [--million]

Both start once and run until they converge by their own rule. Two sets of points: one normal cloud, where clusters of
one size cost nothing, and 100 clouds of very uneven sizes, where many points have to leave their cloud. `--million`
adds ours alone on 1,000,000 x 128. Without the peer only our figures are printed.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from genrec.sid.quantize.balanced_kmeans import balanced_kmeans, means, squared_norms
from genrec.sid.quantize.distances import size_bounds


def cloud(num_points: int, dim: int, seed: int = 0) -> np.ndarray:
    """Standard normal points."""
    return np.random.default_rng(seed).standard_normal((num_points, dim), dtype=np.float32)


def uneven_clouds(num_points: int, dim: int, seed: int = 0) -> np.ndarray:
    """100 normal clouds with Dirichlet(0.5) sizes, far apart for their width."""
    rng = np.random.default_rng(seed)
    centers, sizes = rng.standard_normal((100, dim), dtype=np.float32), rng.dirichlet(np.full(100, 0.5))
    points = centers[rng.choice(100, num_points, p=sizes)]
    points += 0.5 * rng.standard_normal((num_points, dim), dtype=np.float32)
    return points


def timed(run: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Wall-clock and CPU seconds of a call (the CPU's say more where others use the machine), and what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return {
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }, found


def ours(points: np.ndarray, num_clusters: int, repeats: int = 1) -> dict[str, Any]:
    """Median seconds, inertia and sizes with the settings rqkmeans_balanced has by default."""
    tensor = torch.from_numpy(points)
    bounds = size_bounds(len(points), num_clusters, 1, 0.0)
    runs = [
        timed(lambda: balanced_kmeans(tensor, num_clusters, bounds, num_iterations=20, tolerance=3e-3, seed=0))
        for _ in range(repeats)
    ]
    centroids, _, codes = runs[0][1]
    counts = torch.bincount(codes, minlength=num_clusters)
    return {
        **{name: round(statistics.median(r[0][name] for r in runs), 2) for name in runs[0][0]},
        "inertia": round(squared_norms(tensor) - means(tensor, codes, centroids)[1], 1),
        "sizes": [int(counts.min()), int(counts.max())],
    }


def theirs(points: np.ndarray, num_clusters: int) -> dict[str, Any] | None:
    """The same of k-means-constrained, or None where it is not installed."""
    try:
        from k_means_constrained import KMeansConstrained
    except ImportError:
        return None
    bounds = size_bounds(len(points), num_clusters, 1, 0.0)
    model = KMeansConstrained(
        num_clusters, size_min=bounds.low, size_max=bounds.high, n_init=1, random_state=0, n_jobs=1
    )
    seconds, _ = timed(lambda: model.fit(points))
    counts = np.bincount(model.labels_, minlength=num_clusters)
    return {
        **seconds,
        "inertia": round(float(model.inertia_), 1),
        "sizes": [int(counts.min()), int(counts.max())],
        "iterations": int(model.n_iter_),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--clusters", type=int, default=256)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--million", action="store_true", help="ours on 1,000,000 x 128, one level")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ours(cloud(2000, 16), 16)  # the first call loads libraries
    for name, make in (("one normal cloud", cloud), ("100 uneven clouds", uneven_clouds)):
        points = make(args.points, args.dim)
        mine, peer = ours(points, args.clusters, repeats=5), theirs(points, args.clusters)
        report: dict[str, Any] = {"points": name, "shape": list(points.shape), "clusters": args.clusters, "ours": mine}
        if peer:
            report |= {
                "k_means_constrained": peer,
                "times_faster": round(peer["seconds"] / mine["seconds"], 1),
                "times_less_cpu": round(peer["cpu_seconds"] / mine["cpu_seconds"], 1),
                "inertia_ratio": round(mine["inertia"] / peer["inertia"], 4),
            }
        print(json.dumps({**report, "threads": args.threads}), flush=True)
    if args.million:
        print(json.dumps({"points": "1,000,000 x 128", **ours(uneven_clouds(1_000_000, 128), 256)}), flush=True)


if __name__ == "__main__":
    main()
