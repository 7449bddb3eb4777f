"""Does the dry run (`genrec.plan`) tell the memory that a device really takes: the same steps on a device without numbers and
on the real one.

Reports the peak of both in GiB, and how far the plan is off. On a GPU the real one is what CUDA's allocator gave out; on
the CPU the storages that were made.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from genrec.model.policy import Policy
from genrec.plan import steps
from genrec.plan.device import absent_gpu
from genrec.plan.memory import Memory
from genrec.search.attention import pack_heads
from genrec.search.trie import Trie
from genrec.train.rl.rewarding import build_terms
from genrec.train.sft.windows import make_windows
from tests.bench.gpu_check import settings
from tests.bench.gpu_check.measure import GIB
from tests.bench.gpu_check.models import NUM_CODES, Shape, random_catalogue, random_policy, random_prompts
from tests.bench.gpu_check.searching import BEAM_WIDTH

BOUND = 0.1  # share of the real peak that the plan may be off by
Report = Callable[[dict[str, Any]], None]


def run(shape: Shape, device: torch.device, report: Report) -> None:
    """One case after the other: planned first, on the host, then done."""
    for name, work in (("fine-tuning, LoRA", _sft), ("GRPO update", _grpo), ("beam", _beam)):
        kernels: Any = device.type
        with absent_gpu(kernels) as absent, Memory(steps.FUNCTIONS) as counted:
            work(shape, absent, counted)
            planned, kinds = counted.peak_bytes, counted.peak
        gc.collect()
        with _taken(device) as taken:
            work(shape, device, taken.counted)
        error = planned / taken.bytes - 1
        report(
            {
                "case": name,
                "passed": abs(error) < BOUND,
                "error": abs(error),
                "plan_gib": planned / GIB,
                "peak_gib": taken.bytes / GIB,
                "kinds_gib": {kind: size / GIB for kind, size in kinds.items() if size},
            }
        )


class _Taken:
    counted: Memory
    bytes: int = 0


@contextlib.contextmanager
def _taken(device: torch.device) -> Iterator[_Taken]:
    """What the last counted step inside had taken at most."""
    taken = _Taken()
    if device.type != "cuda":
        with Memory(steps.FUNCTIONS, device.type) as taken.counted:
            yield taken
        taken.bytes = taken.counted.peak_bytes
        return
    taken.counted = _Allocator(device)
    yield taken
    taken.bytes = torch.cuda.max_memory_allocated(device)
    gc.collect()
    torch.cuda.empty_cache()


class _Allocator(Memory):
    """Leaves the counting to CUDA's allocator: it is not entered."""

    def __init__(self, device: torch.device) -> None:
        super().__init__({}, device.type)
        self._device = device

    def start_again(self) -> None:
        gc.collect()
        torch.cuda.reset_peak_memory_stats(self._device)


def _policy(shape: Shape, device: torch.device) -> Policy:
    """With a LoRA adapter, in bfloat16, and on the CPU too with the attention that it has on a GPU."""
    policy = random_policy(shape, device, torch.bfloat16, lora=True)
    pack_heads(policy.body)
    policy.forward_dtype = policy.search_dtype = torch.bfloat16
    return policy


def _sft(shape: Shape, device: torch.device, counted: Memory) -> None:
    sids, micro = random_catalogue(shape), shape.micro_batches[0]
    prompts = random_prompts(shape, 2 * micro)
    windows = make_windows(
        np.column_stack([np.stack(prompts.histories), prompts.target]).ravel(),
        np.arange(2 * micro + 1) * (shape.history + 1),
        shape.history,
    )
    policy = _policy(shape, device)
    made = steps.trainer(counted, policy, windows, sids, settings.sft(micro_batch_size=micro))
    steps.train(counted, made, np.arange(len(windows)))


def _grpo(shape: Shape, device: torch.device, counted: Memory) -> None:
    sids, config = random_catalogue(shape), settings.rl(micro_batch_size=shape.rl_micro_batch)
    prompts = random_prompts(shape, min(shape.prompts_per_step, 2 * shape.rl_micro_batch))
    policy = _policy(shape, device)
    made = steps.learner(counted, policy, sids, config, build_terms(config.rewards), prompts)
    steps.update(counted, made, prompts)


def _beam(shape: Shape, device: torch.device, counted: Memory) -> None:
    batch = shape.search_batches[-1]
    sids, histories = random_catalogue(shape), random_prompts(shape, 2 * batch).histories
    policy = _policy(shape, device)
    trie = Trie.from_sids(sids, NUM_CODES, device)
    steps.search(counted, policy, trie, sids, histories, BEAM_WIDTH, batch)
