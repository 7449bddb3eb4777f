"""Where a training run stands: its progress, log rows, best weights and averaged weights, saved and resumed.

Fine-tuning and reinforcement learning add fields of their own in subclasses: a tensor goes into the checkpoint as a
tensor, anything else as JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import torch
from torch import nn

from genrec.errors import DataError
from genrec.tables import TRAINING_LOG, TRAINING_LOG_FILE
from genrec.train import checkpoint
from genrec.train.averaging import WeightAverage
from genrec.train.checkpoint_writer import CheckpointWriter
from genrec.train.sharding import Sharding

_WEIGHTS = ("best_weights", "average")  # fields that hold a tensor for every parameter


@dataclass
class State:
    """Progress of a run: `step` optimizer steps are done. Validation figures are means over users, at 10."""

    step: int = 0
    best_hr: float | None = None  # None: not validated yet
    best_ndcg: float | None = None
    best_step: int = 0
    best_epoch: float = 0.0
    bad_validations: int = 0  # in a row
    stop_reason: str | None = None
    rows: list[tuple[int, float, str, float]] = field(default_factory=list)  # columns of tables.TRAINING_LOG
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)  # on the CPU; empty: those of the start
    average: WeightAverage = field(default_factory=WeightAverage)  # what is validated and kept, where there is one

    def log(self, epoch: float, figures: Mapping[str, float]) -> None:
        """Rows of the training log for the current step."""
        self.rows += [(self.step, epoch, name, float(value)) for name, value in figures.items()]

    def validated(
        self,
        epoch: float,
        hr: float,
        ndcg: float,
        parameters: Mapping[str, nn.Parameter],
        patience: int,
    ) -> None:
        """Note a validation. Better is a higher NDCG@10 than any before.

        See `count_validation` for what follows from it.
        """
        self.log(epoch, {"valid_hr@10": hr, "valid_ndcg@10": ndcg})
        better = self.best_ndcg is None or ndcg > self.best_ndcg
        if better:
            self.best_hr, self.best_ndcg, self.best_step, self.best_epoch = hr, ndcg, self.step, epoch
        self.count_validation(better, parameters, patience)

    def count_validation(self, better: bool, parameters: Mapping[str, nn.Parameter], patience: int) -> None:
        """Keep the weights of `parameters` when they are better than those kept; sets `stop_reason` after `patience`
        validations in a row that are not.
        """
        self.bad_validations = 0 if better else self.bad_validations + 1
        if better:
            self.best_weights = {name: p.detach().to("cpu", copy=True) for name, p in parameters.items()}
        elif self.bad_validations >= patience:
            self.stop_reason = "patience"

    @torch.no_grad()
    def restore_best(self, parameters: Mapping[str, nn.Parameter], otherwise: Mapping[str, torch.Tensor]) -> None:
        """Put the best weights into `parameters`; where no validation chose any, the weights `otherwise`."""
        for name, weights in (self.best_weights or otherwise).items():
            parameters[name].copy_(weights)

    def write_log(self, folder: Path) -> None:
        """Write the training log of an artifact."""
        columns = [list(column) for column in zip(*self.rows, strict=True)]
        table = pa.table(columns, names=TRAINING_LOG.names) if columns else TRAINING_LOG.empty_table()
        TRAINING_LOG_FILE.write(table, folder)

    def save(
        self,
        work: Path,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        sharding: Sharding | None = None,
        writer: CheckpointWriter | None = None,
    ) -> None:
        """Write everything a bit-exact resumption needs to the checkpoint in `work`, by a `writer` while training goes on.

        Of `sharding`, all processes that divide the parameters call this, and the first one writes: a checkpoint is whole,
        however many they are.
        """

        def join(key: str, tensor: torch.Tensor) -> torch.Tensor:
            name = _parameter_of(key)
            return tensor if sharding is None or name is None else sharding.whole(name, tensor)

        tensors: dict[str, torch.Tensor] = {f"weights/{name}": p for name, p in parameters.items()}
        tensors |= {f"best/{name}": t for name, t in self.best_weights.items()}
        tensors |= {f"average/{name}": t for name, t in self.average.tensors.items()}
        tensors |= {f"optimizer/{name}": t for name, t in checkpoint.optimizer_tensors(optimizer, parameters).items()}
        tensors |= {f"random/{name}": t for name, t in checkpoint.random_tensors().items()}
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _WEIGHTS}
        tensors |= {f"state/{name}": value for name, value in own.items() if isinstance(value, torch.Tensor)}
        plain = {name: value for name, value in own.items() if not isinstance(value, torch.Tensor)}
        checkpoint.save(work, tensors, plain, join, sharding is None or sharding.group.first, writer)

    @classmethod
    @torch.no_grad()
    def resume(
        cls,
        work: Path,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        sharding: Sharding | None = None,
    ) -> Self | None:
        """Load the checkpoint in `work` into weights, optimizer and random states; None when there is none.

        Of `sharding`, a process reads the rows that it holds. Raises DataError for a checkpoint of another model, or of
        another version of this class.
        """
        other = DataError(f"{work}: holds a checkpoint of another model or version; delete it to start over")

        def rows(key: str, shape: tuple[int, ...]) -> slice:
            name = _parameter_of(key)
            if sharding is None or name is None:
                return slice(None)
            if name not in parameters:
                raise other
            if shape == sharding.shape(name):
                return sharding.rows(name)
            if not key.startswith("optimizer/"):  # an optimizer may keep other shapes beside those of its parameters
                raise other
            return slice(None)

        saved = checkpoint.load(work, rows)
        if saved is None:
            return None
        tensors, plain = saved
        weights = checkpoint.subset(tensors, "weights/")
        own: dict[str, Any] = {**plain, **checkpoint.subset(tensors, "state/")}
        same_model = {n: w.shape for n, w in weights.items()} == {n: p.shape for n, p in parameters.items()}
        if not same_model or own.keys() != {f.name for f in fields(cls)} - set(_WEIGHTS):
            raise other
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
        checkpoint.load_optimizer(optimizer, parameters, checkpoint.subset(tensors, "optimizer/"))
        checkpoint.restore_random(checkpoint.subset(tensors, "random/"))
        average = {n: t.to(parameters[n].device) for n, t in checkpoint.subset(tensors, "average/").items()}
        own["rows"] = [tuple(row) for row in own["rows"]]
        return cls(**own, best_weights=checkpoint.subset(tensors, "best/"), average=WeightAverage(average))


def _parameter_of(key: str) -> str | None:
    """The parameter that a tensor of a checkpoint belongs to, row by row where it has as many."""
    kind, _, name = key.partition("/")
    if kind == "optimizer":
        return name.rpartition("/")[0]
    return name if kind in ("weights", "best", "average") else None
