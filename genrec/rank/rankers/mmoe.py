"""MMoE: several tasks over shared experts, each with its own gate.

Ma et al., "Modeling task relationships in multi-task learning with multi-gate mixture-of-experts" (KDD 2018, section 4.2).
With one expert it is the shared bottom of Caruana (1997), which the paper compares with. The tasks are those of the
samples (click and purchase), or the label alone.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from genrec.progress import Progress, silent
from genrec.rank.rankers.parts import deep
from genrec.rank.rankers.parts.deep import Body
from genrec.rank.rankers.parts.deep_config import LossConfig, TasksConfig
from genrec.rank.rankers.parts.encoder import Encoder, flat
from genrec.rank.rankers.parts.layers import Mixture, Towers, perceptron
from genrec.rank.rankers.parts.ranker import LABEL, Ranker
from genrec.rank.samples import Samples
from genrec.variants import setting


@dataclass(frozen=True)
class Config(TasksConfig, LossConfig):
    """MMoE."""

    num_experts: int = setting(4, "Experts that all tasks share.", ge=1)
    tower_size: int = setting(16, "Width of a task's own layer.", ge=1)


class Mmoe(Body):
    """Experts, a gate and a tower for each task."""

    def __init__(self, encoder: Encoder, options: Config, num_tasks: int) -> None:
        super().__init__(num_tasks)
        width, size = encoder.width, options.hidden_size
        self.experts = nn.ModuleList(perceptron(width, [size], options.dropout) for _ in range(options.num_experts))
        self.gates = nn.ModuleList(Mixture(width, options.num_experts) for _ in range(num_tasks))
        self.towers = Towers(size, options.tower_size, options.dropout, num_tasks)

    def forward(self, values: torch.Tensor, missing: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = flat(values, missing, ids)
        experts = torch.stack([expert(x) for expert in self.experts], dim=1)
        return self.bias + self.towers([gate(x, experts) for gate in self.gates])


def fit(train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent) -> Ranker:
    """Train on all tasks of the samples. Raises TrainingError where the loss is no longer finite."""
    tasks = tuple(train.tasks) or (LABEL,)
    return deep.fit("mmoe", Mmoe, train, valid, options, seed, progress, tasks=tasks, loss=options.loss)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    return deep.load(folder, Mmoe, Config)
