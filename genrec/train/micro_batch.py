"""Micro-batches from the memory that a GPU has left: measured once by forwards and backwards of growing size, halved when that
was too much after all.

The size of a micro-batch is a matter of speed and memory: gradients add up to those of the whole batch.
"""

import gc
from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol

import torch
from torch import distributed as dist

from genrec.errors import TrainingError
from genrec.model.device_memory import free_bytes
from genrec.train.learner_group import LearnerGroup

MicroBatchSize = int | Literal["auto"]
_UNMEASURED = 64  # rows, where there is no GPU to measure
_TRIED = (8, 2, 1)  # rows of the forwards that are measured
_SHARE = 0.85  # of the free memory; the rest is for fragments, and for what other shapes take


class Memory(Protocol):
    """The memory of a device, in bytes."""

    def free(self) -> int:
        """What a process can still have."""

    def peak_of(self, run: Callable[[], None]) -> int:
        """What `run` had at most beside what was there before."""


class GpuMemory:
    """The memory of a GPU as torch's allocator sees it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def free(self) -> int:
        return free_bytes(self._device) or 0

    def peak_of(self, run: Callable[[], None]) -> int:
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        run()
        return torch.cuda.max_memory_allocated(self._device) - before


def memory_of(device: torch.device) -> Memory | None:
    """None for a CPU, whose memory is no reason for smaller forwards."""
    return GpuMemory(device) if device.type == "cuda" else None


def largest_forward(run: Callable[[int], None], most: int, memory: Memory, reserve: int = 0) -> int:
    """How many rows, 1 to `most`, a forward and backward has memory for; 0 where not even one fits.

    `run(n)` does one of n rows, and leaves its gradients; memory grows linearly with n. `reserve` bytes are left alone.
    """
    larger = next((size for size in _TRIED if size <= most and _fits(run, size)), 0)  # allocates gradients, too
    if not larger:
        return 0
    sizes = (max(1, larger // 4), larger)
    peaks = [memory.peak_of(partial(run, size)) for size in sizes]
    slope = max(1.0, (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]) if larger > 1 else peaks[0])
    fixed = max(0.0, peaks[0] - sizes[0] * slope)
    return int(max(1, min(most, (_SHARE * memory.free() - reserve - fixed) // slope)))


def _fits(run: Callable[[int], None], size: int) -> bool:
    try:
        run(size)
    except torch.OutOfMemoryError:
        pass
    else:
        return True
    release()
    return False


def release() -> None:
    """Give back what an attempt that ran out of memory left behind; outside of the `except`, which holds its frames."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def least(size: int, group: LearnerGroup, device: torch.device) -> int:
    """The least of what the processes say: all of them have to go the same way."""
    if group.size == 1:
        return size
    number = torch.tensor(size, device=device)
    dist.all_reduce(number, op=dist.ReduceOp.MIN)
    return int(number)


class MicroBatch:
    """How many rows a forward has at most: as set, or as the memory allows."""

    def __init__(self, setting: MicroBatchSize, name: str) -> None:
        """`name` is the setting's in the config, for messages."""
        self.is_auto, self._name = setting == "auto", name
        self.size = _UNMEASURED if setting == "auto" else setting

    def measured(self, size: int, group: LearnerGroup, device: torch.device) -> None:
        """Take what was measured; of several processes the least, for all cut a batch alike."""
        size = least(size, group, device)
        if size < 1:
            raise self.too_little()
        self.size = size

    def may_halve(self, group: LearnerGroup) -> bool:
        """Whether an attempt that ran out of memory may be repeated with less; several processes would lose step."""
        return self.is_auto and group.size == 1

    def halve(self, rows: int) -> None:
        """Half as many from now on as the `rows` that were too many. Raises TrainingError where it was one."""
        if rows == 1:
            raise self.too_little()
        self.size = max(1, min(self.size, rows) // 2)
        release()

    def too_little(self) -> TrainingError:
        return TrainingError(
            f"{self._name}: the GPU has too little memory for a forward of one row; set sft.gradient_checkpointing to "
            "true, shorten prepare.max_history, or take a smaller base model"
        )
