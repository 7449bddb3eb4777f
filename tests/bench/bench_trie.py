"""The trie at scale: seconds and memory to build it, and what one step of a search costs, from ten thousand items on.

    python -m tests.bench.bench_trie [--items 10000 100000 1000000 10000000] [--threads 1]

Ids are uniform random and distinct, 3 levels of 256 codes: the worst case for the table, since no prefix repeats more
than it has to. `trie_ms` is what a beam search asks of the trie for 128 users with 20 beams each, `children` of every
level; the beams are prefixes of random items. `search_ms` is the whole search of those users, with a random model of the
default scratch shape (128 wide) and histories of 11 items: by plain rows of the codes, and by output vectors of the
prefixes, whose table takes `nodes_gib` (`nodes_s` to make it, once for any number of searches). Every size is
measured in a process of its own.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.search.decode import beam_search
from genrec.search.layout import PromptBatch
from genrec.search.trie import Trie
from tests.bench.bench_decode import random_policy

NUM_LEVELS, NUM_CODES, USERS, BEAMS, HISTORY, HIDDEN = 3, 256, 128, 20, 11, 128
PREFIXES = {"name": "prefixes", "options": {}}


def distinct_ids(num_items: int, seed: int = 0) -> np.ndarray:
    """Uniform distinct ids, uint8[N, L]."""
    rng = np.random.default_rng(seed)
    space = NUM_CODES**NUM_LEVELS
    picked = np.flatnonzero(rng.random(space, dtype=np.float32) < num_items / space)
    shortage = num_items - len(picked)
    if shortage > 0:
        free = np.setdiff1d(rng.integers(0, space, 8 * shortage + 1000), picked)
        picked = np.concatenate([picked, rng.permutation(free)[:shortage]])
    picked = rng.permutation(picked)[:num_items]
    return np.stack([(picked >> shift) & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def trie_seconds(trie: Trie, sids: np.ndarray, repeats: int = 30) -> list[float]:
    """Median seconds of `children` by level."""
    picked = np.random.default_rng(1).integers(0, len(sids), (USERS, BEAMS))
    codes = torch.from_numpy(sids[picked].astype(np.int64))
    state, medians = torch.zeros(USERS, BEAMS, dtype=torch.int64), []
    for level in range(NUM_LEVELS):
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            trie.children(level, state)
            taken.append(time.perf_counter() - start)
        medians.append(statistics.median(taken))
        state = trie.advance(level, state, codes[..., level])
    if not torch.equal(trie.items(state), torch.from_numpy(picked)):
        sys.exit("the trie does not lead back to the items")
    return medians


def search_seconds(trie: Trie, sids: np.ndarray, repeats: int = 10) -> dict[str, float]:
    """Median seconds of a beam search for all users by output, and what the vectors of the prefixes take."""
    policy = random_policy(HIDDEN, num_layers=2)
    rng = np.random.default_rng(2)
    prompts = policy.prompts([rng.integers(0, len(sids), HISTORY) for _ in range(USERS)], sids)
    found = {"codes": _median(policy, prompts, trie, repeats)}
    policy.use_items(ItemVectors(sids, NUM_CODES, HIDDEN, None, ids=True, nodes=True), output=PREFIXES)
    start = time.perf_counter()
    with policy.inference():
        policy.step_scores()
    found["nodes"] = time.perf_counter() - start
    found["prefixes"] = _median(policy, prompts, trie, repeats)
    return found


def _median(policy: Policy, prompts: PromptBatch, trie: Trie, repeats: int) -> float:
    taken = []
    with policy.inference():
        scores = policy.step_scores()
    for _ in range(repeats):
        start = time.perf_counter()
        beam_search(policy, prompts, trie, BEAMS, scores=scores)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measure(num_items: int) -> dict[str, object]:
    sids = distinct_ids(num_items)
    Trie.from_sids(sids[:1000], NUM_CODES)
    before = peak_gib()
    start = time.perf_counter()
    trie = Trie.from_sids(sids, NUM_CODES)
    seconds = time.perf_counter() - start
    steps = trie_seconds(trie, sids)
    search = search_seconds(trie, sids)
    return {
        "items": len(sids),
        "build_s": round(seconds, 2),
        "peak_gib": round(peak_gib(), 2),
        "peak_gib_before": round(before, 2),
        "trie_ms_by_level": [round(1e3 * s, 3) for s in steps],
        "trie_ms": round(1e3 * sum(steps), 3),
        "search_ms": {name: round(1e3 * search[name], 1) for name in ("codes", "prefixes")},
        "nodes_s": round(search["nodes"], 2),
        "nodes_gib": round(sum(trie.num_states(level) for level in (1, 2, 3)) * HIDDEN * 4 / 2**30, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="measure the one size in this process")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.alone:
        print(json.dumps(measure(args.items[0])), flush=True)
        return
    for num_items in args.items:
        command = [sys.executable, "-m", "tests.bench.bench_trie", "--alone", "--threads", str(args.threads)]
        subprocess.run([*command, "--items", str(num_items)], check=True)


if __name__ == "__main__":
    main()
