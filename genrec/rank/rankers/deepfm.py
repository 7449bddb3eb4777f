"""DeepFM: a factorization machine and a deep network over the same embeddings, added.

Guo et al., "DeepFM: a factorization-machine based neural network for CTR prediction" (IJCAI 2017, arXiv 1703.04247,
section 2). A number is a field whose embedding is multiplied by its standardised value, as in the factorization machine
itself (Rendle, ICDM 2010); the deep part reads the numbers as they are, not each through an embedding.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from genrec.progress import Progress, silent
from genrec.rank.rankers.parts import deep
from genrec.rank.rankers.parts.deep import Body
from genrec.rank.rankers.parts.deep_config import LossConfig
from genrec.rank.rankers.parts.encoder import Encoder, flat
from genrec.rank.rankers.parts.layers import perceptron
from genrec.rank.rankers.parts.ranker import Ranker
from genrec.rank.samples import Samples
from genrec.variants import setting


@dataclass(frozen=True)
class Config(LossConfig):
    """DeepFM."""

    num_layers: int = setting(2, "Layers of the deep part.", ge=1)


class DeepFm(Body):
    """Linear part, pairwise products of the fields' embeddings, and a perceptron."""

    def __init__(self, encoder: Encoder, options: Config, num_tasks: int) -> None:
        super().__init__(num_tasks)
        self.fields = nn.Parameter(torch.randn(encoder.num_features, encoder.dim) * 0.05)
        self.linear = nn.Linear(encoder.width, num_tasks, bias=False)
        sizes = [options.hidden_size] * options.num_layers
        self.deep = perceptron(encoder.width, sizes, options.dropout)
        self.out = nn.Linear(options.hidden_size, num_tasks, bias=False)

    def forward(self, values: torch.Tensor, missing: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        total = values @ self.fields + ids.sum(dim=1)
        squares = values**2 @ self.fields**2 + (ids**2).sum(dim=1)
        products = 0.5 * (total**2 - squares).sum(dim=1, keepdim=True)  # every pair of fields once
        x = flat(values, missing, ids)
        return self.bias + self.linear(x) + products + self.out(self.deep(x))


def fit(train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent) -> Ranker:
    """Train on the labels. Raises TrainingError where the loss is no longer finite."""
    return deep.fit("deepfm", DeepFm, train, valid, options, seed, progress, loss=options.loss)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    return deep.load(folder, DeepFm, Config)
