"""Is it right what only a GPU does: packed histories, recorded and compiled searches, micro-batches by memory.

On a CPU the same code runs with stand-ins: plain attention under a mask, a recording that searches anew, an error thrown.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.errors import TrainingError
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers
from genrec.search.attention import pack_heads
from genrec.search.decode import beam_search
from genrec.search.graphs import SearchGraphs
from genrec.search.trie import Trie
from genrec.train import checkpoint
from genrec.train.sft.trainer import Trainer
from tests.bench.gpu_check import settings
from tests.bench.gpu_check.correctness import (
    NUM_PROMPTS,
    SHAPE,
    WIDTH,
    error_of,
    flat_gradients,
    pair,
    uneven_windows,
    verdict_of,
)
from tests.bench.gpu_check.models import NUM_CODES, random_catalogue, random_prompts

BF16 = torch.bfloat16


def _gradients(policy: Policy, precision: str, packed: bool, micro: int | str = 8) -> torch.Tensor:
    windows, sids = uneven_windows(), random_catalogue(SHAPE)
    trainer = Trainer(policy, windows, sids, settings.sft(precision=precision, micro_batch_size=micro), 0)
    trainer.packed = packed
    trainer.policy.model.eval()  # no dropout
    trainer.accumulate(np.arange(len(windows)))
    found = flat_gradients(policy)
    trainer.optimizer.zero_grad()
    return found


def packed_histories(device: torch.device) -> dict[str, Any]:
    """Gradients of histories of unequal length without padding."""
    on_cpu, there = pair(device, BF16)
    pack_heads(there.body)
    wanted, found = _gradients(on_cpu, "fp32", False), _gradients(there, "bf16", True)
    padded = error_of(_gradients(there, "bf16", False), wanted)
    return verdict_of(error_of(found, wanted), BF16, padded=padded)


def packed_heads(device: torch.device) -> dict[str, Any]:
    """Logits and gradients of candidates in float32 and bfloat16, query heads packed and keys repeated, on one device."""
    sids, prompts = random_catalogue(SHAPE).astype(np.int64), random_prompts(SHAPE, NUM_PROMPTS)
    histories = [h[i % SHAPE.history :] for i, h in enumerate(prompts.histories)]
    candidates = torch.from_numpy(sids[np.random.default_rng(0).integers(0, len(sids), (NUM_PROMPTS, 16))])

    def run(policy: Policy) -> torch.Tensor:
        scores = policy.candidate_log_probs(policy.prompts(histories, sids), candidates.to(policy.device))
        for parameter in policy.trainable_parameters().values():
            parameter.grad = None
        scores.mean().backward()
        return torch.cat([scores.detach().flatten(), flat_gradients(policy)])

    errors = {}
    for dtype in (BF16, torch.float32):
        policy = pair(device, dtype)[1]
        policy.body.set_attn_implementation("sdpa")
        wanted = run(policy)
        pack_heads(policy.body)
        errors[dtype] = error_of(run(policy), wanted)
    return verdict_of(errors[torch.float32], torch.float32, bf16=errors[BF16])


def recorded_search(device: torch.device) -> dict[str, Any]:
    """A search recorded as a graph finds the same, also after the weights have changed in place."""
    sids, policy = random_catalogue(SHAPE), pair(device, BF16)[1]
    trie = Trie.from_sids(sids, NUM_CODES, device)
    parameters = policy.trainable_parameters()
    graphs = SearchGraphs(policy, trie, WIDTH, parameters.values)
    if device.type != "cuda":
        graphs = SearchGraphs(policy, trie, WIDTH, parameters.values, record=lambda search, _: search)
    same = []
    for seed in range(4):
        some = random_prompts(SHAPE, NUM_PROMPTS, seed).histories
        prompts = policy.prompts(some, sids)
        found, wanted = graphs(prompts, some), beam_search(policy, prompts, trie, WIDTH, some)
        same += [torch.equal(a, b) for a, b in zip(found, wanted, strict=True)]
        with torch.no_grad():
            for parameter in parameters.values():
                parameter.mul_(1.01)
    return {"passed": all(same) and graphs.num_recorded == 1, "same_items": sum(same) / len(same)}


def out_of_memory(device: torch.device) -> dict[str, Any]:
    """A batch that runs out of memory is computed in smaller forwards, with the same gradients."""
    policy = pair(device, torch.float32)[1]
    windows, sids = uneven_windows(), random_catalogue(SHAPE)
    rows = np.tile(np.arange(len(windows)), 64 if device.type == "cuda" else 2)
    trainer = Trainer(policy, windows, sids, settings.sft(precision="fp32", micro_batch_size="auto"), 0)
    trainer.policy.model.eval()  # no dropout
    trainer.accumulate(rows)
    wanted, measured = flat_gradients(policy), trainer.micro_batch.size
    trainer.optimizer.zero_grad()
    trainer.micro_batch.size = len(rows)
    with _little_memory(trainer):
        trainer.policy.model.eval()  # no dropout
        trainer.accumulate(rows)
    halved = trainer.micro_batch.size
    verdict = verdict_of(error_of(flat_gradients(policy), wanted), torch.float32, micro_batch=halved)
    return {**verdict, "passed": verdict["passed"] and halved < len(rows), "measured": measured}


class _little_memory:
    """Meanwhile a trainer has too little memory for a whole batch: really on a GPU, by an error thrown on a CPU."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._device, self._losses = trainer, trainer.policy.device, trainer._losses

    def __enter__(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(self._device).total_memory
            left = torch.cuda.memory_reserved(self._device) + (256 << 20)
            torch.cuda.set_per_process_memory_fraction(left / total, self._device)
            return

        def losses(items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            if len(items) > 20:
                raise torch.OutOfMemoryError("thrown")
            return self._losses(items, targets)

        self._trainer._losses = losses  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self._trainer._losses = self._losses  # type: ignore[method-assign]
        if self._device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0, self._device)


def checkpoint_beside(device: torch.device) -> dict[str, Any]:
    """A checkpoint holds the weights of its moment, though the next step began before they were copied."""
    policy, windows = pair(device, BF16)[1], uneven_windows()
    trainer = Trainer(policy, windows, random_catalogue(SHAPE), settings.sft(micro_batch_size=8), 0)
    rows = np.arange(len(windows))
    trainer.step(rows, 1e-2)
    wanted = torch.cat([p.detach().flatten().cpu() for p in trainer.parameters.values()])
    with tempfile.TemporaryDirectory() as name:
        with trainer.writer:
            trainer.state.save(Path(name), trainer.parameters, trainer.optimizer, writer=trainer.writer)
            trainer.step(rows, 1e-2)
        tensors, _ = checkpoint.load(Path(name)) or ({}, {})
    found = torch.cat([tensors[f"weights/{name}"].flatten() for name in trainer.parameters])
    changed = torch.cat([p.detach().flatten().cpu() for p in trainer.parameters.values()])
    return {"passed": torch.equal(found, wanted) and not torch.equal(changed, wanted)}


def step_not_finite(device: torch.device) -> dict[str, Any]:
    """A step whose loss is not finite changes no weight, and the next one says so."""
    policy, windows = pair(device, BF16)[1], uneven_windows()
    trainer = Trainer(policy, windows, random_catalogue(SHAPE), settings.sft(micro_batch_size=8), 0)
    rows = np.arange(len(windows))
    trainer.step(rows, 1e-2)
    with torch.no_grad():
        next(iter(trainer.parameters.values())).fill_(torch.inf)
    before = [p.detach().clone() for p in trainer.parameters.values()]
    try:
        trainer.step(rows, 1e-2)
        trainer.finite.settle()
    except TrainingError:
        kept = all(torch.equal(p, b) for p, b in zip(trainer.parameters.values(), before, strict=True))
        return {"passed": kept and trainer.finite.later == (device.type == "cuda")}
    return {"passed": False, "failed": "no error"}


def compiled_search(device: torch.device) -> dict[str, Any]:
    """A search through compiled layers, in float32, where a difference is no matter of rounding."""
    if device.type != "cuda":
        return {"passed": None, "failed": "compiles on a GPU alone"}
    sids, prompts = random_catalogue(SHAPE), random_prompts(SHAPE, NUM_PROMPTS)
    policy = pair(device, torch.float32)[1]
    trie = Trie.from_sids(sids, NUM_CODES, device)

    def search() -> Any:
        return beam_search(policy, policy.prompts(prompts.histories, sids), trie, WIDTH, prompts.histories)

    wanted = search()
    compile_layers(policy.body)
    found = search()
    same = float((found.items == wanted.items).float().mean())
    verdict = verdict_of(error_of(found.scores, wanted.scores), torch.float32, same_items=same)
    return {**verdict, "passed": verdict["passed"] and same > 0.99}


CASES: dict[str, Callable[[torch.device], dict[str, Any]]] = {
    "packed heads": packed_heads,
    "packed histories, bf16": packed_histories,
    "search, recorded": recorded_search,
    "out of memory": out_of_memory,
    "checkpoint beside a step": checkpoint_beside,
    "step that is not finite": step_not_finite,
}
