"""How fast a search is: beam 20 of a random model, by output, batch size, length of the histories, compiled and recorded.

Each case is reported as soon as it is measured, the newest ways first.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from genrec.model.policy import Policy
from genrec.model.precision import compile_layers
from genrec.search.decode import beam_search, rank_users
from genrec.search.graphs import SearchGraphs
from genrec.search.trie import Trie
from tests.bench.gpu_check import measure
from tests.bench.gpu_check.models import (
    NUM_CODES,
    Shape,
    add_items,
    body_weights,
    random_catalogue,
    random_policy,
    random_prompts,
)

BEAM_WIDTH = 20
Report = Callable[[dict[str, Any]], None]


class _Search:
    """A policy and what it searches in; `rate` FLOP/s of a large product."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape, self.device = shape, device
        policy = random_policy(replace(shape, history=shape.long_history), device, torch.bfloat16, lora=False)
        policy.search_dtype = torch.bfloat16
        self.policy: Policy = add_items(policy, shape)
        self.sids = random_catalogue(shape)
        self.trie = Trie.from_sids(self.sids, NUM_CODES, device)
        self.rate = measure.matrix_rate(device)

    def by_codes(self) -> None:
        """From now on the policy has the output `codes`."""
        self.policy.use_items(None)

    def all_users(self, name: str, batch: int, history: int) -> dict[str, Any]:
        """As in an evaluation: all users, seen items left out."""
        shape = self.shape
        histories = random_prompts(replace(shape, history=history), shape.num_users).histories
        positions = len(self.policy.opening) + 3 * history + 2 * BEAM_WIDTH
        work = 2 * body_weights(shape) * positions * shape.num_users

        def search(count: int) -> Callable[[], Any]:
            some = histories[:count]
            return lambda: rank_users(
                self.policy, some, self.sids, self.trie, BEAM_WIDTH, banned=some, batch_size=batch
            )

        def case() -> dict[str, Any]:
            found = measure.measured(search(shape.num_users), self.device, 1, warm_up=search(batch))
            mfu = work / found["seconds"] / self.rate
            return {**found, "users_per_s": shape.num_users / found["seconds"], "mfu": mfu}

        return {"case": name, **measure.or_out_of_memory(case)}

    def one_batch(self, batch: int) -> Callable[[], Any]:
        some = random_prompts(self.shape, batch).histories
        return lambda: rank_users(self.policy, some, self.sids, self.trie, BEAM_WIDTH, banned=some, batch_size=batch)

    def recorded(self, batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """One search of `batch` prompts, launch by launch and as one graph; the same items?"""
        some = random_prompts(self.shape, batch).histories
        graphs = SearchGraphs(self.policy, self.trie, BEAM_WIDTH, lambda: ())

        def plain() -> Any:
            prompts = self.policy.prompts(some, self.sids)
            return beam_search(self.policy, prompts, self.trie, BEAM_WIDTH, some)

        def graph() -> Any:
            return graphs(self.policy.prompts(some, self.sids), some)

        graph(), graph()  # seen, then recorded
        same = torch.equal(graph().items, plain().items)
        repeats = max(3, self.shape.repeats)
        before, after = (measure.measured(run, self.device, repeats) for run in (plain, graph))
        for found in (before, after):
            found["call_ms"] = 1e3 * found["seconds"]
        return (
            {"case": f"one search of {batch}", **before},
            {"case": f"one search of {batch}, recorded", **after, "passed": same},
        )


def run(shape: Shape, device: torch.device, report: Report) -> None:
    """All cases of the part `beam`."""
    search = _Search(shape, device)
    largest = shape.search_batches[-1]
    report(search.all_users(f"prefixes, batch {largest}", largest, shape.history))
    for batch in shape.recorded_batches:
        for case in search.recorded(batch):
            report(case)
    report(search.all_users(f"prefixes, batch {largest}, 20 items", largest, shape.long_history))
    for batch in shape.search_batches[:-1]:
        report(search.all_users(f"prefixes, batch {batch}", batch, shape.history))
    measure.profiled(shape, f"batch {largest}", search.one_batch(largest), device, report)
    search.by_codes()
    report(search.all_users(f"codes, batch {largest}", largest, shape.history))
    if device.type != "cuda":
        return
    search.policy = add_items(search.policy, shape)
    compile_layers(search.policy.body)
    report(search.all_users(f"compiled, prefixes, batch {largest}", largest, shape.history))
    report(search.all_users(f"compiled, prefixes, batch {largest}, 20 items", largest, shape.long_history))
    measure.profiled(shape, f"compiled, batch {largest}", search.one_batch(largest), device, report)
