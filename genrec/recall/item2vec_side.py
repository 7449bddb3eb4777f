"""Item2Vec with side information: an item's vector is a weighted mean of those of its id, its brand and its category.

Wang et al., "Billion-scale Commodity Embedding for E-commerce Recommendation in Alibaba" (KDD 2018, arXiv 1803.02349):
EGES, skip-gram with negative sampling (section 2.4, equations 6 to 8) with weights of an item's own, softmax(a), on the
training sequences in place of random walks. An item without events takes the mean of its brand and category (section
2.4, cold start). The score of a candidate is the cosine of its vector and the weighted mean of the history's vectors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrec.errors import TrainingError
from genrec.recall.item2vec import Vectors
from genrec.recall.parts.channel import ZeroScorer
from genrec.recall.parts.scorer import Training, flatten, unit_rows
from genrec.transitions import weighted_pairs
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Item2Vec with side information."""

    dim: int = setting(64, "Dimensions of a vector.", ge=1)
    window: int = setting(5, "Longest distance, in events, between an item and its context.", ge=1)
    negatives: int = setting(5, "Random items contrasted with each true context.", ge=1)
    negatives_exponent: float = setting(0.75, "Exponent of an item's count in the distribution of negatives.")
    epochs: int = setting(15, "Passes over the pairs of an item and its context.", ge=1)
    learning_rate: float = setting(5e-3, "Learning rate of Adam.", gt=0)
    batch_size: int = setting(2048, "Pairs behind one update.", ge=1)
    history_decay: float = setting(0.8, "Weight of a history item is history_decay ** age.", gt=0, le=1)


CHOICES = {"history_decay": (0.4, 0.6, 0.8)}
RANKING = ("history_decay",)
load = Vectors.load


def fit(data: Training, options: Config) -> Vectors | ZeroScorer:
    """Train vectors on the training sequences; without side information an item's vector is that of its id.

    Raises DataError for an item outside the catalogue, TrainingError when the loss is no longer finite.
    """
    sequence, items = flatten(data.sequences, data.num_items)
    centers, contexts, distances = _pairs(items, sequence, options.window)
    if not len(centers):
        return ZeroScorer(data.num_items)
    vectors = _train(data, options, items, centers, contexts, distances)
    counts = np.bincount(items, minlength=data.num_items)
    return Vectors(unit_rows(vectors), (counts > 0) | (sides(data) >= 0).any(axis=1), options.history_decay)


def sides(data: Training) -> NDArray[np.int64]:
    """int64 [num_items, 2]: brand and category of each item, as rows of one table; -1 for none."""
    if data.side is None:
        return np.full((data.num_items, 2), -1, dtype=np.int64)
    brand, leaf = data.side.brand, data.side.leaf
    return np.stack([brand, np.where(leaf >= 0, leaf + brand.max(initial=-1) + 1, -1)], axis=1)


def _pairs(
    items: NDArray[np.int64], sequence: NDArray[np.int64], window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(center, context, distance), int64 [P], both ways, of events at most `window` apart in a sequence."""
    parts = [(before, after) for _, before, after in weighted_pairs(items, sequence, window)]
    centers = np.concatenate([part for before, after in parts for part in (before, after)])
    contexts = np.concatenate([part for before, after in parts for part in (after, before)])
    return centers, contexts, np.repeat(np.arange(1, window + 1), [2 * len(before) for before, _ in parts])


def _train(
    data: Training,
    options: Config,
    items: NDArray[np.int64],
    centers: NDArray[np.int64],
    contexts: NDArray[np.int64],
    distances: NDArray[np.int64],
) -> NDArray[np.float32]:
    """float32 [num_items, dim]: vectors of all items, of those without events by their sides alone."""
    import torch
    from torch.nn import functional as F

    from genrec.seeding import seeded

    rng = np.random.default_rng(data.seed)
    counts = np.bincount(items, minlength=data.num_items)
    odds = np.where(counts > 0, np.maximum(counts, 1) ** options.negatives_exponent, 0)
    odds = np.cumsum(odds / odds.sum())
    with seeded(data.seed):
        network = _network(sides(data), options.dim)
        optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
        for epoch in range(options.epochs):
            # A pair at distance d is in window - d + 1 of window passes, as in word2vec.
            kept = np.flatnonzero(rng.integers(options.window, size=len(centers)) <= options.window - distances)
            for batch in np.array_split(rng.permutation(kept), max(1, len(kept) // options.batch_size)):
                drawn = np.searchsorted(odds, rng.random((len(batch), options.negatives)), side="right")
                others = np.concatenate([contexts[batch][:, None], np.minimum(drawn, data.num_items - 1)], axis=1)
                logits = network(torch.from_numpy(centers[batch]), torch.from_numpy(others))
                loss = -(F.logsigmoid(logits[:, 0]).mean() + F.logsigmoid(-logits[:, 1:]).sum(dim=1).mean())
                if not torch.isfinite(loss):
                    raise TrainingError(f"baseline item2vec_side: non-finite loss in epoch {epoch + 1}")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            data.progress(epoch + 1, options.epochs, f"item2vec_side, epoch {epoch + 1}", loss=loss.item())
        with torch.no_grad():
            return network.vectors(torch.arange(data.num_items), torch.from_numpy(counts == 0)).numpy()


def _network(of_items: NDArray[np.int64], dim: int):
    """The module, built where torch is imported: `forward(centers [b], others [b, m])` -> logits [b, m]."""
    import torch
    from torch import nn

    class Eges(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ids = nn.Embedding(len(of_items), dim)
            self.sides = nn.Embedding(int(of_items.max(initial=0)) + 1, dim)
            self.weights = nn.Embedding(len(of_items), 1 + of_items.shape[1])
            self.contexts = nn.Embedding(len(of_items), dim)
            for table in (self.ids, self.sides):
                nn.init.uniform_(table.weight, -0.5 / dim, 0.5 / dim)
            for table in (self.weights, self.contexts):
                nn.init.zeros_(table.weight)
            self.of_items = torch.from_numpy(of_items)

        def vectors(self, items: torch.Tensor, cold: torch.Tensor | None = None) -> torch.Tensor:
            """float32 [b, dim]; where `cold`, without the id, zeros if nothing else is known."""
            rows = self.of_items[items]
            parts = torch.cat([self.ids(items).unsqueeze(1), self.sides(rows.clamp_min(0))], dim=1)
            absent = torch.cat([torch.zeros_like(rows[:, :1], dtype=torch.bool), rows < 0], dim=1)
            if cold is not None:
                absent = torch.cat([cold[items].unsqueeze(1), absent[:, 1:]], dim=1)
            weight = self.weights(items).masked_fill(absent, -torch.inf).softmax(dim=1).nan_to_num(0.0)
            return (weight.unsqueeze(2) * parts).sum(dim=1)

        def forward(self, centers: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
            return (self.contexts(others) @ self.vectors(centers).unsqueeze(2)).squeeze(2)

    return Eges()
