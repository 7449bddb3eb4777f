"""The value head of actor-critic algorithms: the expected reward after a prefix."""

import torch
from torch import nn


class ValueHead(nn.Module):
    """Hidden states of width D to values, through one hidden layer; starts at 0 everywhere, the same every time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)
        generator = torch.Generator().manual_seed(0)
        nn.init.normal_(self.hidden.weight, std=width**-0.5, generator=generator)
        for tensor in (self.hidden.bias, self.out.weight, self.out.bias):
            nn.init.zeros_(tensor)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., D] -> float32[...]."""
        return self.out(torch.tanh(self.hidden(hidden.float()))).squeeze(-1)
