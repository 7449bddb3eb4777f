"""Updates of a large catalogue's embeddings: of the rows that a step read, not of all.

A step of 64 windows reads some thousand of the embeddings of items and of inner nodes of the trie, but AdamW moves all of
them, and their gradient is as large as they are: with 100 thousand items of width 128 that is half of a step's time, with a
million nearly all of it. Here the gradient holds the rows that were read, and moments, weight decay and update are those of
these rows ("lazy" Adam: torch.optim.SparseAdam, tfa.optimizers.LazyAdam). Rows that are not read stay where they are,
while AdamW would let them coast on their momentum and decay.

Embeddings of items are read one by one, and their gradient is a sparse tensor. Those of inner nodes are read in runs, all
that follow a prefix, and a step reads most of them: their gradient is kept apart (`genrec.model.row_runs`).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from genrec.model.row_runs import RunGradient
from genrec.train.sft.sampled_softmax import EXACT_UP_TO

if TYPE_CHECKING:
    from genrec.config import SftConfig
    from genrec.model.policy import Policy

_ROWS_AT_A_TIME = 1024  # in an update: with their gradient and moments they stay in the cache of a core


RunGradients = Mapping[torch.Tensor, RunGradient]  # of the parameters that have such


def give_row_gradients(
    policy: "Policy", config: "SftConfig", processes: int, dense_sampled: bool
) -> RunGradients | None:
    """Let the embeddings of a catalogue above 50,000 items have gradients of the rows that are read.

    Returns the gradients that are kept apart, for `clip` and `RowAdamW`; None where all have gradients as they always do.

    They do not where a dense head reads all items, where processes share the gradients, on a GPU (where AdamW is one kernel)
    and by other optimizers than AdamW.
    """
    items = policy.items
    if items is None or len(items) <= EXACT_UP_TO or policy.device.type != "cpu":
        return None
    if processes > 1 or config.optimizer != "adamw" or not (dense_sampled or config.dense_head.loss_weight == 0):
        return None
    if items.ids is not None:
        items.ids.sparse = True
    if items.nodes is None or not items.nodes.weight.requires_grad:
        return {}
    items.node_gradient = RunGradient(items.nodes.weight)
    return {items.nodes.weight: items.node_gradient}


def clip(parameters: Iterable[nn.Parameter], limit: float, apart: RunGradients | None = None) -> torch.Tensor:
    """Scale gradients, some of rows alone, down to a norm of `limit`; returns the norm before, float32[]."""
    values = []
    for parameter in parameters:
        if apart is not None and parameter in apart:
            values += [apart[parameter].values[start:end] for start, end in apart[parameter].runs()]
        if parameter.grad is None:
            continue
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # repeats of a row are added up: they are one gradient
            values.append(parameter.grad.values())
        else:
            values.append(parameter.grad)
    norm = nn.utils.get_total_norm(values)
    for value in values:
        value.mul_((limit / (norm + 1e-6)).clamp(max=1.0))  # as torch.nn.utils.clip_grads_with_norm_
    return norm


class RowAdamW(torch.optim.AdamW):
    """AdamW which, of a parameter with a gradient that is sparse or of runs of rows, updates the rows of that gradient alone.

    The state is that of AdamW. Bias is corrected by the steps of the whole parameter.
    """

    def __init__(self, parameters: Any, *, apart: RunGradients | None = None, **options: Any) -> None:
        """`apart`: gradients that are no tensors of their parameters."""
        super().__init__(parameters, **options)
        self._apart = apart or {}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update; gradients of rows are used up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if (gradient := self._apart.get(parameter)) is not None:
                    self._update_runs(parameter, gradient, group)
                    gradient.clear()
                elif parameter.grad is not None and parameter.grad.is_sparse:
                    self._update_rows(parameter, parameter.grad.coalesce(), group)
                    parameter.grad = None  # AdamW's own step passes it over
        return super().step(closure)

    def _update_rows(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self._next_state(parameter)
        parts = (part.split(_ROWS_AT_A_TIME) for part in (gradient.indices()[0], gradient.values()))
        for rows, values in zip(*parts, strict=True):
            moved, mean, square = (held[rows] for held in (parameter, state["exp_avg"], state["exp_avg_sq"]))
            _move(moved, values, mean, square, float(state["step"]), group)
            parameter[rows], state["exp_avg"][rows], state["exp_avg_sq"][rows] = moved, mean, square

    def _update_runs(self, parameter: nn.Parameter, gradient: RunGradient, group: dict[str, Any]) -> None:
        runs = gradient.runs()
        if not runs:
            return
        state = self._next_state(parameter)
        held = parameter, gradient.values, state["exp_avg"], state["exp_avg_sq"]
        for start, end in runs:
            for first in range(start, end, _ROWS_AT_A_TIME):
                rows = slice(first, min(first + _ROWS_AT_A_TIME, end))
                moved, values, mean, square = (table[rows] for table in held)
                _move(moved, values, mean, square, float(state["step"]), group)

    def _next_state(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        """AdamW's state of a parameter, one step on."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        return state


def _move(
    rows: torch.Tensor,
    gradient: torch.Tensor,
    mean: torch.Tensor,
    square: torch.Tensor,
    step: float,
    group: dict[str, Any],
) -> None:
    """AdamW's update `step` (1-based) of `rows` float[n, D] and their two moments, in place."""
    (beta1, beta2), rate = group["betas"], group["lr"]
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    scale = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
    rows.mul_(1 - rate * group["weight_decay"]).addcdiv_(mean, scale, value=-rate / (1 - beta1**step))
