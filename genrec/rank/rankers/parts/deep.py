"""A deep ranker: an encoder of candidates, a body that gives a logit for each task, and what is done with them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.rank.rankers.parts.deep_config import DeepConfig, Loss
from genrec.rank.rankers.parts.encoder import Encoder
from genrec.rank.rankers.parts.ranker import (
    LABEL,
    Inputs,
    NoSignal,
    has_signal,
    no_signal,
    read_facts,
    write_facts,
)
from genrec.rank.rankers.parts.training import Rows, log_probabilities, train_model
from genrec.rank.samples import PURCHASE, Samples
from genrec.seeding import seeded

_MODEL = "model.safetensors"
_ROWS_AT_ONCE = 1 << 16


class Body(nn.Module):
    """What is behind the encoder. forward(values, missing, ids) -> logits [n, T], `bias` included."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(num_tasks))

    def start(self, rates: torch.Tensor) -> None:
        """Begin at the rates of the tasks' positives, float32 [T] in (0, 1): no pass is spent on learning them."""
        self.bias.copy_(torch.logit(rates))


Build = Callable[[Encoder, Any, int], Body]  # the encoder, the ranker's Config, the number of tasks


class Model(nn.Module):
    """float32 [n, F] with nan and buckets int64 [n, 2] -> logits [n, T]."""

    def __init__(self, build: Build, num_features: int, options: DeepConfig, num_tasks: int) -> None:
        super().__init__()
        self.encoder = Encoder(
            num_features, options.buckets, options.id_dim, options.feature_dropout, options.id_dropout
        )
        self.body = build(self.encoder, options, num_tasks)

    def forward(self, features: torch.Tensor, bucket: torch.Tensor) -> torch.Tensor:
        return self.body(*self.encoder(features, bucket))


class DeepRanker:
    """A fitted model of one task or several."""

    def __init__(
        self, names: tuple[str, ...], tasks: tuple[str, ...], model: Model, options: DeepConfig, loss: Loss
    ) -> None:
        self.inputs, self.tasks, self.model, self.options, self.loss = Inputs(names), tasks, model, options, loss

    @torch.no_grad()
    def logits(self, samples: Samples) -> torch.Tensor:
        """float32 [R, T]."""
        self.model.eval()
        rows = Rows.of(samples, self.inputs, self.model.encoder, ())
        parts = [
            self.model(rows.features[start : start + _ROWS_AT_ONCE], rows.bucket[start : start + _ROWS_AT_ONCE])
            for start in range(0, len(samples), _ROWS_AT_ONCE)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, len(self.tasks))

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]: the logit of a single task; of several, the log of the sum of their probabilities by value."""
        logits = self.logits(samples)
        if len(self.tasks) == 1:
            return logits[:, 0].numpy()
        values = torch.tensor([self._value(task) for task in self.tasks]).log()
        return (log_probabilities(logits, samples, self.loss) + values).logsumexp(dim=1).numpy()

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """By task float32 [R], probabilities: of each candidate (pointwise), or of being the one of its list."""
        found = log_probabilities(self.logits(samples), samples, self.loss).exp().numpy()
        return {task: found[:, column].copy() for column, task in enumerate(self.tasks)}

    def importance(self) -> None:
        """A network does not tell."""

    def save(self, folder: Path) -> None:
        """Weights as safetensors, and the names and settings."""
        facts = {"tasks": self.tasks, "loss": self.loss, "options": dataclasses.asdict(self.options)}
        write_facts(folder, {"names": self.inputs.names, **facts})
        save_file(self.model.state_dict(), folder / _MODEL)

    def _value(self, task: str) -> float:
        return getattr(self.options, "purchase_value", 1.0) if task == PURCHASE else 1.0


def fit(
    name: str,
    build: Build,
    train: Samples,
    valid: Samples | None,
    options: Any,
    seed: int,
    progress: Progress = silent,
    *,
    tasks: tuple[str, ...] = (LABEL,),
    loss: Loss = "pointwise",
) -> DeepRanker | NoSignal:
    """Train a model of these tasks (names of `train.tasks`, or "label").

    Raises TrainingError where the loss is no longer finite.
    """
    if not has_signal(train, name):
        return NoSignal(train.names, tasks)
    with seeded(seed):
        model = Model(build, len(train.names), options, len(tasks))
        inputs = Inputs(train.names)
        rows = Rows.of(train, inputs, model.encoder, tasks)
        with torch.no_grad():
            model.encoder.learn(rows.features, rows.bucket)
            model.body.start(rows.rates())
        held = None if valid is None or not len(valid) else Rows.of(valid, inputs, model.encoder, tasks)
        train_model(name, model, rows, held, options, loss, seed, progress)
    return DeepRanker(train.names, tasks, model, options, loss)


def load(folder: Path, build: Build, config: type) -> DeepRanker | NoSignal:
    """What `save` wrote, of the module with this body and this Config. Raises DataError where it cannot be read."""
    facts = read_facts(folder)
    if nothing := no_signal(facts):
        return nothing
    try:
        options, tasks = config(**facts["options"]), tuple(facts["tasks"])
        model = Model(build, len(facts["names"]), options, len(tasks))
        model.load_state_dict(load_file(folder / _MODEL))
    except (OSError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"{folder}: cannot be read ({error}); compute the stage rank again") from None
    return DeepRanker(facts["names"], tasks, model, options, facts["loss"])
