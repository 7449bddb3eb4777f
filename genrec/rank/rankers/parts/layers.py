"""Layers of the deep rankers."""

import torch
from torch import nn


def perceptron(width: int, sizes: list[int], dropout: float) -> nn.Sequential:
    """Linear layers of these sizes, each with ReLU and dropout."""
    layers: list[nn.Module] = []
    for size in sizes:
        layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(dropout)]
        width = size
    return nn.Sequential(*layers)


class Mixture(nn.Module):
    """Experts' outputs mixed by a softmax gate (MMoE, section 4.2: g(x) = softmax(W x))."""

    def __init__(self, width: int, num_experts: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, num_experts, bias=False)

    def forward(self, x: torch.Tensor, experts: torch.Tensor) -> torch.Tensor:
        """x [n, width], experts [n, num_experts, size] -> [n, size]."""
        return (self.gate(x).softmax(dim=1)[:, :, None] * experts).sum(dim=1)


class Towers(nn.Module):
    """A small perceptron for each task: its state [n, width] -> its logit."""

    def __init__(self, width: int, size: int, dropout: float, num_tasks: int) -> None:
        super().__init__()
        self.of_tasks = nn.ModuleList(
            nn.Sequential(perceptron(width, [size], dropout), nn.Linear(size, 1, bias=False)) for _ in range(num_tasks)
        )

    def forward(self, tasks: list[torch.Tensor]) -> torch.Tensor:
        """Logits [n, T]."""
        return torch.cat([tower(x) for tower, x in zip(self.of_tasks, tasks, strict=True)], dim=1)
