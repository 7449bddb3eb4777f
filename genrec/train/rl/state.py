"""Where training stands: what a checkpoint holds, which weights are best so far, and when to stop."""

from dataclasses import Field, dataclass, field, fields
from pathlib import Path

import torch

from genrec.errors import DataError
from genrec.train import checkpoint
from genrec.train.averaging import WeightAverage
from genrec.train.rl.learner import Learner


@dataclass
class State:
    """Progress of a run. Figures of validation are shares of users (hr) and means over users (ndcg), at 10."""

    sft_hr: float | None = None  # None: there are no validation users
    sft_ndcg: float | None = None
    best_hr: float | None = None
    best_ndcg: float | None = None
    step: int = 0
    best_step: int = 0  # 0: the SFT model
    bad_validations: int = 0  # in a row
    stop_reason: str | None = None
    rows: list[tuple[int, float, str, float]] = field(default_factory=list)  # as in tables.TRAINING_LOG
    best_weights: dict[str, torch.Tensor] | None = None  # on the CPU; None: the SFT model's
    average: WeightAverage = field(default_factory=WeightAverage)  # what is validated and kept, where there is one

    @classmethod
    def start(cls, hr: float, ndcg: float) -> "State":
        """Before the first step, with the figures of the SFT model."""
        state = cls(hr, ndcg, hr, ndcg)
        state.log(0.0, {"valid_hr@10": hr, "valid_ndcg@10": ndcg})
        return state

    def log(self, epoch: float, figures: dict[str, float]) -> None:
        self.rows += [(self.step, epoch, name, float(value)) for name, value in figures.items()]

    def validated(self, epoch: float, hr: float, ndcg: float, learner: Learner, patience: int) -> None:
        """Note a validation. Better is a higher NDCG@10 than any before, at no less than the SFT model's HR@10."""
        self.log(epoch, {"valid_hr@10": hr, "valid_ndcg@10": ndcg})
        assert self.best_ndcg is not None
        assert self.sft_hr is not None
        if ndcg > self.best_ndcg and hr >= self.sft_hr:
            self.best_hr, self.best_ndcg, self.best_step, self.bad_validations = hr, ndcg, self.step, 0
            self.best_weights = {name: p.detach().cpu().clone() for name, p in learner.parameters.items()}
            return
        self.bad_validations += 1
        if self.bad_validations >= patience:
            self.stop_reason = "patience"

    @torch.no_grad()
    def restore_best(self, learner: Learner) -> None:
        """Put the best weights (the SFT model's when nothing beat them) into the policy."""
        best = learner.reference if self.best_weights is None else self.best_weights
        for name, parameter in learner.parameters.items():
            parameter.copy_(best[name])

    # ---- checkpoints --------------------------------------------------------------------------------------------------

    def save(self, work: Path, learner: Learner) -> None:
        """Write the checkpoint. Prompts and samples are functions of (seed, step): no random state is needed."""
        learned = learner.learned()
        tensors: dict[str, torch.Tensor] = {f"weights/{name}": p for name, p in learned.items()}
        tensors |= {f"best/{name}": value for name, value in (self.best_weights or {}).items()}
        tensors |= {f"average/{name}": value for name, value in self.average.tensors.items()}
        slots = checkpoint.optimizer_tensors(learner.optimizer, learned)
        tensors |= {f"optimizer/{name}": value for name, value in slots.items()}
        plain = {f.name: getattr(self, f.name) for f in _plain_fields()}
        checkpoint.save(work, tensors, {**plain, "kl_coef": learner.kl_coef})

    @classmethod
    @torch.no_grad()
    def resume(cls, work: Path, learner: Learner) -> "State | None":
        """The state of the checkpoint in `work`, its weights and optimizer given to the learner; None without one.

        Raises DataError for a checkpoint of another model.
        """
        found = checkpoint.load(work)
        if found is None:
            return None
        tensors, plain = found
        weights = checkpoint.subset(tensors, "weights/")
        learned = learner.learned()
        if {n: w.shape for n, w in weights.items()} != {n: p.shape for n, p in learned.items()}:
            raise DataError(f"{work}: holds a checkpoint of another model; delete it to start over")
        for name, parameter in learned.items():
            parameter.copy_(weights[name])
        checkpoint.load_optimizer(learner.optimizer, learned, checkpoint.subset(tensors, "optimizer/"))
        learner.kl_coef = plain.pop("kl_coef")
        plain["rows"] = [tuple(row) for row in plain["rows"]]
        average = {n: t.to(learner.parameters[n].device) for n, t in checkpoint.subset(tensors, "average/").items()}
        best = checkpoint.subset(tensors, "best/") or None
        return cls(**plain, best_weights=best, average=WeightAverage(average))


def _plain_fields() -> list[Field]:
    return [f for f in fields(State) if f.name not in ("best_weights", "average")]
