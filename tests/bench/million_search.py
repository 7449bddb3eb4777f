"""Beam search under the ids of a large catalogue, by the parts of a served model, and the memory they take."""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions
from genrec.search.decode import StepScores, beam_search
from genrec.search.layout import PromptBatch
from genrec.search.trie import Trie
from tests.bench.bench_decode import random_policy
from tests.bench.million_data import DIM, sequences

NUM_CODES, USERS, BEAMS, HISTORY, HIDDEN = 256, 128, 20, 11, 128
PREFIXES = {"name": "prefixes", "options": {}}
MOST_SEQUENCES = 200_000  # behind the table of transitions


def clock() -> float:
    """Seconds: of CPU time with one thread, which a busy machine disturbs less."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def measure(num_items: int, ids: Path, say: Callable[..., None], peak_gib: Callable[[], float]) -> None:
    """Figures of one size; `ids` is a file of int[N, L], or there is none and random ones take their place."""
    sids = np.load(ids).astype(np.int64) if ids.is_file() else random_sids(num_items)
    start = clock()
    trie = Trie.from_sids(sids, NUM_CODES)
    built = clock() - start
    states = [trie.num_states(level) for level in range(1, trie.num_levels + 1)]
    say(items=num_items, ids="kept" if ids.is_file() else "random", trie_build_s=round(built, 2), states=states)
    policy = random_policy(HIDDEN, num_layers=2)
    rng = np.random.default_rng(2)
    histories = [rng.integers(0, num_items, HISTORY) for _ in range(USERS)]
    say(items=num_items, trie_ms=round(1e3 * trie_seconds(trie, sids, histories), 2), peak_gib=round(peak_gib(), 2))
    items = ItemVectors(sids, NUM_CODES, HIDDEN, None, ids=True, nodes=True)
    items.text = torch.randn(num_items, DIM)
    items.projection = torch.nn.Linear(DIM, HIDDEN, bias=False)
    flat, offsets = sequences(num_items, min(num_items, MOST_SEQUENCES))
    items.transitions = Transitions.count(flat, offsets, num_items, window=3, history_decay=0.5)
    policy.use_items(items, "item_tokens", {}, None, PREFIXES)
    prompts = policy.prompts(histories, sids)
    start = clock()
    with policy.inference():
        scores = policy.step_scores()
    vectors_s = round(clock() - start, 2)
    say(items=num_items, vectors_s=vectors_s, **held(policy, trie), resident_gib=round(resident_gib(), 2))
    banned = [np.unique(history) for history in histories]
    for name, weight, share in (("ids", None, 0.0), ("dense", 0.9, 0.0), ("dense and transitions", 0.9, 0.3)):
        policy.dense_weight, policy.transition_share = weight, share
        seconds = search_seconds(policy, prompts, trie, banned, scores, 5 if weight is None else 2)
        say(items=num_items, search=name, ms=round(1e3 * seconds, 1), users=USERS, peak_gib=round(peak_gib(), 2))


def random_sids(num_items: int) -> np.ndarray:
    """Uniform distinct ids, int64[N, 3]."""
    space = NUM_CODES**3
    picked = np.random.default_rng(0).permutation(space)[:num_items]
    return np.stack([(picked >> shift) & 255 for shift in (16, 8, 0)], axis=1)


def trie_seconds(trie: Trie, sids: np.ndarray, histories: list[np.ndarray], repeats: int = 7) -> float:
    """Median seconds (`clock`) of what a search asks of the trie, the beams being prefixes of random items and histories banned."""
    picked = np.random.default_rng(1).integers(0, len(sids), (USERS, BEAMS))
    codes, taken = torch.from_numpy(sids[picked]), []
    for _ in range(repeats):
        start = clock()
        restriction = trie.restrict(histories)
        state = torch.zeros(USERS, BEAMS, dtype=torch.int64)
        for level in range(trie.num_levels):
            trie.children(level, state, restriction)
            state = trie.advance(level, state, codes[..., level])
        taken.append(clock() - start)
    if not torch.equal(trie.items(state), torch.from_numpy(picked)):
        sys.exit("the trie does not lead back to the items")
    return statistics.median(taken)


def search_seconds(
    policy: Policy, prompts: PromptBatch, trie: Trie, banned: list[np.ndarray], scores: StepScores, repeats: int
) -> float:
    """Median seconds (`clock`) of a beam search for all users."""
    taken = []
    for _ in range(repeats + 1):
        start = clock()
        beam_search(policy, prompts, trie, BEAMS, banned, scores=scores)
        taken.append(clock() - start)
    return statistics.median(taken[1:])


def held(policy: Policy, trie: Trie) -> dict[str, Any]:
    """MiB of the parts of a served model."""
    items = policy.items
    assert items is not None
    assert items.transitions is not None
    states = sum(trie.num_states(level) for level in range(1, trie.num_levels + 1))
    parts = {
        "text": [items.text],
        "ids": [items.ids.weight if items.ids is not None else None],
        "nodes": [items.nodes.weight if items.nodes is not None else None],
        "codes": [items.codes],
        "transitions": list(items.transitions.buffers()),
    }
    sizes = {name: sum(t.numel() * t.element_size() for t in ts if t is not None) for name, ts in parts.items()}
    sizes["search_vectors"] = states * HIDDEN * 4
    return {f"{name}_mib": round(size / 2**20, 1) for name, size in sizes.items()}


def resident_gib() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**30
