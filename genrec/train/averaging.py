"""An exponential moving average of the weights over the steps of a training run: steadier than those of one step
(Tarvainen and Valpola 2017, Mean teachers, arXiv 1703.01780, section 2).
"""

from collections.abc import Mapping

import torch
from torch import nn


class WeightAverage:
    """Averaged weights by name, on the device of the parameters; empty where no average is kept."""

    def __init__(self, tensors: Mapping[str, torch.Tensor] | None = None) -> None:
        self.tensors = dict(tensors or {})

    @classmethod
    def of(cls, parameters: Mapping[str, nn.Parameter]) -> "WeightAverage":
        """An average that starts at the weights as they are."""
        return cls({name: p.detach().clone() for name, p in parameters.items()})

    @torch.no_grad()
    def update(self, parameters: Mapping[str, nn.Parameter], step: int, decay: float) -> None:
        """Move the average, if there is one, towards the weights after update `step` (1-based).

        The decay grows as step / (step + 10) up to `decay`, so that the start is forgotten.
        """
        decay = min(decay, step / (step + 10))
        for name, mean in self.tensors.items():
            mean.lerp_(parameters[name].to(mean.dtype), 1 - decay)
