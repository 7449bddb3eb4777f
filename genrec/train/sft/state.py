"""Where fine-tuning stands: what a checkpoint holds, which weights are best so far, and when to stop."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genrec.train import checkpoint
from genrec.train.averaging import WeightAverage

_TENSORS = ("best_weights", "average", "window_losses")


@dataclass
class State:
    """Progress of a run. `step` optimizer steps are done, `batch` of them in epoch `epoch` (0-based)."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_hr: float = -1.0
    best_ndcg: float = -1.0
    best_epoch: int = 0  # epochs done when the best weights were seen
    bad_validations: int = 0  # in a row
    stop_reason: str | None = None
    rows: list[list[Any]] = field(default_factory=list)  # columns of tables.TRAINING_LOG
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)  # on the CPU
    average: WeightAverage = field(default_factory=WeightAverage)
    window_losses: torch.Tensor = field(default_factory=lambda: torch.empty(0))  # float32[W], this epoch's first pass

    def log(self, epoch: float, figures: dict[str, float]) -> None:
        self.rows += [[self.step, epoch, name, float(value)] for name, value in figures.items()]

    def validated(self, hr: float, ndcg: float, parameters: dict[str, nn.Parameter], patience: int) -> None:
        """Note the validation after an epoch; better is a higher NDCG@10."""
        self.log(float(self.epoch), {"valid_hr@10": hr, "valid_ndcg@10": ndcg})
        if ndcg > self.best_ndcg:
            self.best_hr, self.best_ndcg, self.best_epoch, self.bad_validations = hr, ndcg, self.epoch, 0
            self.best_weights = {name: p.detach().to("cpu", copy=True) for name, p in parameters.items()}
            return
        self.bad_validations += 1
        if self.bad_validations >= patience:
            self.stop_reason = "patience"

    @torch.no_grad()
    def restore_best(self, parameters: dict[str, nn.Parameter]) -> None:
        """Put the best weights into the model; without any validation the last ones (their average, if kept)."""
        for name, weights in (self.best_weights or self.average.tensors).items():
            parameters[name].copy_(weights)

    def save(self, work: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        """Write everything a bit-exact resumption needs."""
        tensors: dict[str, torch.Tensor] = {f"weights/{name}": p for name, p in parameters.items()}
        tensors |= {f"best/{name}": t for name, t in self.best_weights.items()}
        tensors |= {f"optimizer/{name}": t for name, t in checkpoint.optimizer_tensors(optimizer, parameters).items()}
        tensors |= {f"random/{name}": t for name, t in checkpoint.random_tensors().items()}
        tensors |= {f"average/{name}": t for name, t in self.average.tensors.items()}
        tensors["window_losses"] = self.window_losses
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _TENSORS}
        checkpoint.save(work, tensors, plain)

    @classmethod
    def resume(
        cls, work: Path, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
    ) -> "State | None":
        """Load a checkpoint into weights, optimizer and random states; None when there is none."""
        found = checkpoint.load(work)
        if found is None:
            return None
        tensors, plain = found
        with torch.no_grad():
            for name, weights in checkpoint.subset(tensors, "weights/").items():
                parameters[name].copy_(weights)
        checkpoint.load_optimizer(optimizer, parameters, checkpoint.subset(tensors, "optimizer/"))
        checkpoint.restore_random(checkpoint.subset(tensors, "random/"))
        best = checkpoint.subset(tensors, "best/")
        average = {name: t.to(parameters[name].device) for name, t in checkpoint.subset(tensors, "average/").items()}
        return cls(**plain, best_weights=best, average=WeightAverage(average), window_losses=tensors["window_losses"])
