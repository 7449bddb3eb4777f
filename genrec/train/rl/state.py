"""What a state of reinforcement learning has beside that of any training run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from genrec.train.averaging import WeightAverage
from genrec.train.rl.gate import Gate, Verdict
from genrec.train.state import State

_SLOWER = 0.25  # what is left of the learning rate when a run goes back


@dataclass
class RlState(State):
    """`best_step` 0 stands for the SFT model. Prompts and candidates are functions of (seed, step).

    The weights kept are those of the leading checkpoint: the best that passed the gate, or, until one has, the best whose
    gain is not certain yet.
    """

    sft: dict[str, float] | None = None  # figures of the SFT model on validation; None: there are no validation users
    sft_rows: torch.Tensor | None = None  # the same by row, float64[U, M], where the gate judges
    best: dict[str, float] = field(default_factory=dict)  # figures of what is returned
    leading_step: int = 0  # 0: no checkpoint was worth keeping
    leading_value: float = 0.0  # its figure of the gate's metric
    looks: list[dict[str, Any]] = field(default_factory=list)  # verdicts of the gate, as plain data
    kl_coef: float = 0.0  # weight of the KL divergence, which may be steered
    pace: float = 1.0  # share of the configured learning rate

    def start(self, gate: Gate, rows: Any, figures: dict[str, float]) -> None:
        """Note the figures of the SFT model, before the first step: what later ones are compared with."""
        self.sft, self.sft_rows = figures, None if rows is None else torch.from_numpy(rows)
        self.leading_value = figures[gate.config.metric]
        self._returned(figures)
        self.log(0.0, {f"valid_{name}": value for name, value in figures.items()})

    def judged(
        self, epoch: float, gate: Gate, verdict: Verdict, parameters: Mapping[str, nn.Parameter], patience: int
    ) -> None:
        """Note what the gate said of the current step; `patience` as in `State.validated`.

        Better is the first checkpoint that passes, then one that passes with a higher metric; before, one that keeps to
        the allowed loss with a higher metric than any.
        """
        figures = gate.named(verdict)
        self.log(epoch, {f"valid_{name}": value for name, value in figures.items()})
        self.looks.append(gate.look(self.step, verdict))
        higher = figures[gate.config.metric] > self.leading_value
        first_pass = verdict.passed and not self.best_step
        better = first_pass or (higher and (verdict.passed or (verdict.guarded and not self.best_step)))
        if better:
            self.leading_step, self.leading_value = self.step, figures[gate.config.metric]
            if verdict.passed:
                self.best_step, self.best_epoch = self.step, epoch
                self._returned(figures)
        self.count_validation(better, parameters, patience)

    def take_back(self, parameters: Mapping[str, nn.Parameter], start: Mapping[str, torch.Tensor]) -> None:
        """Go on from the leading checkpoint, or from the weights of the `start`, more slowly.

        A line search along what the reward asks for (Nocedal & Wright 2006, Numerical Optimization, section 3.1): the
        allowed loss is a border, and the steps shrink until they end inside of it.
        """
        super().restore_best(parameters, otherwise=start)
        if self.average.tensors:
            self.average = WeightAverage.of(parameters)
        self.pace *= _SLOWER
        self.looks[-1]["taken_back"] = True

    def restore_best(self, parameters: Mapping[str, nn.Parameter], otherwise: Mapping[str, torch.Tensor]) -> None:
        """Put the weights that passed the gate into `parameters`; where none did, the weights `otherwise`."""
        if not self.best_step:
            self.best_weights = {}
        super().restore_best(parameters, otherwise)

    def _returned(self, figures: dict[str, float]) -> None:
        self.best, self.best_hr, self.best_ndcg = figures, figures["hr@10"], figures["ndcg@10"]
