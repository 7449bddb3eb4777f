"""Losses and gradients that are not finite end a training before they reach a weight.

To read them waits for a GPU, which then has nothing to do until the host has sent the next forward. There the update
leaves the weights as they are where a number is not finite, without being told to (the fused AdamW of torch does, for
gradient scaling), and the host reads a step's numbers while the next one is computed.
"""

import math
from typing import NamedTuple

import torch

from genrec.errors import TrainingError


class _Step(NamedTuple):
    numbers: torch.Tensor  # float32[n + 1]: the losses, and the gradient's norm
    there: torch.cuda.Event | None  # when they are on the host
    place: str  # the step, for a message


class FiniteCheck:
    """Of every step, its numbers. `loss` is the sum of the losses of the last step that was read; None before one was."""

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        self._optimizer = optimizer
        fused = all(group.get("fused") for group in optimizer.param_groups)
        self.later = fused and device.type == "cuda" and torch.cuda.is_available()
        self.loss: float | None = None
        self._step: _Step | None = None

    def before_update(self, losses: torch.Tensor, norm: torch.Tensor, place: str) -> None:
        """Take the numbers of a step. Raises TrainingError for those of the step before or, without `later`, for these."""
        self.settle()
        numbers = torch.cat([losses.float(), norm.float().reshape(1)])
        there = None
        if self.later:
            self._optimizer.found_inf = (~torch.isfinite(numbers).all()).float()  # type: ignore[attr-defined]
        if self.later and numbers.is_cuda:
            host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            host.copy_(numbers, non_blocking=True)
            numbers, there = host, torch.cuda.Event()
            there.record()
        self._step = _Step(numbers, there, place)
        if not self.later:
            self.settle()

    def settle(self) -> None:
        """Read the numbers of the last step. Raises TrainingError where one is not finite; no weight was changed by it."""
        step, self._step = self._step, None
        if step is None:
            return
        if step.there is not None:
            step.there.synchronize()
        *losses, norm = step.numbers.tolist()
        self.loss = sum(losses)
        if not all(math.isfinite(number) for number in (*losses, norm)):
            self._optimizer.zero_grad()
            raise TrainingError(
                f"sft: loss {self.loss:.4g}, gradient norm {norm:.4g} at {step.place}; lower sft.learning_rate or use "
                "sft.precision fp32"
            )
