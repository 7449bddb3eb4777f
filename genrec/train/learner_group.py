"""Data-parallel training: several processes, one model, the gradients of one process.

Every process holds the whole model and sees the whole batch, computes the forwards of its share and adds its gradients
to those of the others, so that all take the same optimizer step. Without a process group nothing here communicates, so
that the same code trains in one process. The caller starts the processes.
"""

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import distributed as dist
from torch import nn

T = TypeVar("T")

_BUCKET = 1 << 24  # gradient elements added up in one message


class LearnerGroup:
    """The learner processes that train one model together; this one has number `rank` of `size`."""

    def __init__(self) -> None:
        """Those of torch.distributed's default group, or this process alone."""
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.size = dist.get_world_size() if joined else 1

    @property
    def first(self) -> bool:
        """Whether this process writes files, validates and reports."""
        return self.rank == 0

    def share(self, parts: list[T]) -> list[T]:
        """The parts of a batch that this process computes; every part belongs to one process."""
        return parts[self.rank :: self.size]

    def at_most(self, micro_batch_size: int, batch_size: int) -> int:
        """The micro-batch size at which no process is left without a part of a batch, where that can be."""
        return max(1, min(micro_batch_size, -(-batch_size // self.size)))

    def sum_(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add up a tensor over the processes, in place; where only one holds other than zeros, a broadcast."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_floats(self, values: Iterable[float], device: torch.device) -> list[float]:
        """Add up numbers over the processes."""
        numbers = list(values)
        if self.size == 1:
            return numbers
        return self.sum_(torch.tensor(numbers, dtype=torch.float64, device=device)).tolist()

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients over the processes.

        A parameter that has a gradient on no process keeps none, so that the optimizer skips it as it would in one
        process.
        """
        if self.size == 1:
            return
        every = list(parameters)
        if not every:
            return
        has = torch.tensor([float(p.grad is not None) for p in every], device=every[0].device)
        wanted = [p for p, count in zip(every, self.sum_(has).tolist(), strict=True) if count]
        for bucket in _buckets(wanted):
            flat = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in bucket])
            parts = self.sum_(flat).split([p.numel() for p in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.grad = part.view_as(parameter).clone()


def _buckets(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbours of one type and at most `_BUCKET` elements together (or one parameter alone)."""
    buckets: list[list[nn.Parameter]] = []
    size = 0
    for parameter in parameters:
        if not buckets or buckets[-1][0].dtype != parameter.dtype or size + parameter.numel() > _BUCKET:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.numel()
    return buckets
