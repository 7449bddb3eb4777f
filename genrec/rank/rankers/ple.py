"""PLE: several tasks, each with experts of its own beside shared ones, in levels that separate them step by step.

Tang et al., "Progressive layered extraction (PLE): a novel multi-task learning (MTL) model for personalized
recommendations" (RecSys 2020, section 4.2; one level is CGC, section 4.1). The tasks are those of the samples (click and
purchase), or the label alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

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
    """PLE."""

    num_levels: int = setting(2, "Levels of experts.", ge=1)
    shared_experts: int = setting(2, "Experts of a level that all tasks share.", ge=1)
    task_experts: int = setting(1, "Experts of a level for each task alone.", ge=1)
    tower_size: int = setting(16, "Width of a task's own layer.", ge=1)


class Extraction(nn.Module):
    """One level: the states of the tasks and the shared one -> the same, mixed from the experts each may see.

    A task sees its own experts and the shared ones; the shared state sees all. At the last level there is no shared one.
    """

    def __init__(self, width: int, options: Config, num_tasks: int, last: bool) -> None:
        super().__init__()
        own, shared, size = options.task_experts, options.shared_experts, options.hidden_size

        def experts(count: int) -> nn.ModuleList:
            return nn.ModuleList(perceptron(width, [size], options.dropout) for _ in range(count))

        self.of_tasks = nn.ModuleList(experts(own) for _ in range(num_tasks))
        self.shared = experts(shared)
        self.gates = nn.ModuleList(Mixture(width, own + shared) for _ in range(num_tasks))
        self.shared_gate = None if last else Mixture(width, own * num_tasks + shared)

    def forward(self, tasks: list[torch.Tensor], shared: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        own = [
            torch.stack([expert(x) for expert in experts], dim=1)
            for experts, x in zip(cast(list[nn.ModuleList], self.of_tasks), tasks, strict=True)
        ]
        common = torch.stack([expert(shared) for expert in self.shared], dim=1)
        mixed = [
            gate(x, torch.cat([experts, common], dim=1))
            for gate, x, experts in zip(self.gates, tasks, own, strict=True)
        ]
        if self.shared_gate is None:
            return mixed, shared
        return mixed, self.shared_gate(shared, torch.cat([*own, common], dim=1))


class Ple(Body):
    """Levels of extraction and a tower for each task."""

    def __init__(self, encoder: Encoder, options: Config, num_tasks: int) -> None:
        super().__init__(num_tasks)
        size = options.hidden_size
        widths = [encoder.width, *[size] * (options.num_levels - 1)]
        self.levels = nn.ModuleList(
            Extraction(width, options, num_tasks, last=level == options.num_levels - 1)
            for level, width in enumerate(widths)
        )
        self.towers = Towers(size, options.tower_size, options.dropout, num_tasks)

    def forward(self, values: torch.Tensor, missing: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        shared = flat(values, missing, ids)
        tasks = [shared] * len(self.bias)
        for level in self.levels:
            tasks, shared = level(tasks, shared)
        return self.bias + self.towers(tasks)


def fit(train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent) -> Ranker:
    """Train on all tasks of the samples. Raises TrainingError where the loss is no longer finite."""
    tasks = tuple(train.tasks) or (LABEL,)
    return deep.fit("ple", Ple, train, valid, options, seed, progress, tasks=tasks, loss=options.loss)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    return deep.load(folder, Ple, Config)
