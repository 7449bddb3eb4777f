"""The network of MIND (arXiv 1904.08030, section 3)."""

import torch
from torch import nn
from torch.nn import functional as F


class Mind(nn.Module):
    """Histories to interests. B histories of M items, K interests, D dimensions."""

    logits: torch.Tensor

    def __init__(
        self, num_items: int, *, dim: int, interests: int, routing_rounds: int, max_history: int, dropout: float
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.bilinear = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.bilinear.weight)
        self.hidden, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.routing_rounds, self.max_history = routing_rounds, max_history
        # Fixed random numbers by age of the item: with equal ones all capsules would stay alike.
        self.register_buffer("logits", torch.randn(interests, max_history))

    def forward(self, items: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Interests float32 [B, K, D], and bool [B, K]: is the capsule in use.

        `items` int64 [B, M], newest item first, M <= max_history, any item where `real` bool [B, M] is False.
        """
        count = real.sum(dim=1, keepdim=True)
        number = torch.arange(len(self.logits), device=items.device)
        used = number < count.clamp_min(1).log2().floor().clamp_min(1)
        behaviour = self.dropout(self.bilinear(self.items(items)))  # [B, M, D]
        routed = behaviour.detach()  # no gradient through the routing itself, as in Sabour et al. (2017)
        logits = self.logits[:, : items.shape[1]].expand(len(items), -1, -1)
        dead = ~used.unsqueeze(2)
        for round_ in range(self.routing_rounds):
            share = logits.masked_fill(dead, -torch.inf).softmax(dim=1).masked_fill(~real.unsqueeze(1), 0.0)
            if round_ == self.routing_rounds - 1:
                capsules = _squash(share @ behaviour)
                break
            logits = logits + _squash(share @ routed) @ routed.transpose(1, 2)
        return capsules + self.out(F.relu(self.hidden(capsules))), used

    def user_vectors(self, interests: torch.Tensor, used: torch.Tensor, targets: torch.Tensor, power: float):
        """Label-aware attention: float32 [B, D], interests weighed by softmax(power * product with the target)."""
        product = (interests @ self.items(targets).unsqueeze(2)).squeeze(2)
        weight = (power * product).masked_fill(~used, -torch.inf).softmax(dim=1)
        return (weight.unsqueeze(1) @ interests).squeeze(1)

    def item_scores(self, interests: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        """float32 [B, N]: the largest product of an item with an interest in use."""
        best: torch.Tensor | None = None
        for number in range(interests.shape[1]):  # one interest at a time: [B, K, N] would be K times as large
            product = interests[:, number] @ self.items.weight.T
            product = product.masked_fill(~used[:, number : number + 1], -torch.inf)
            best = product if best is None else torch.maximum(best, product)
        assert best is not None
        return best


def _squash(vectors: torch.Tensor) -> torch.Tensor:
    """Length n becomes n^2 / (1 + n^2), the direction stays."""
    square = (vectors * vectors).sum(dim=-1, keepdim=True)
    return vectors * square / (1 + square) / (square + 1e-9).sqrt()
