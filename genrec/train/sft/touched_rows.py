"""Updates of a large catalogue's embeddings: of the rows that a step read, not of all.

A step of 64 windows reads some thousand of the embeddings of items and of inner nodes of the trie, but AdamW moves all of
them, and their gradient is as large as they are: with 100 thousand items of width 128 that is half of a step's time, with a
million nearly all of it. Here the gradient holds the rows that were read, and moments, weight decay and update are those of
these rows ("lazy" Adam: torch.optim.SparseAdam, tfa.optimizers.LazyAdam). Rows that are not read stay where they are,
while AdamW would let them coast on their momentum and decay.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from genrec.train.sft.sampled_softmax import EXACT_UP_TO

if TYPE_CHECKING:
    from genrec.config import SftConfig
    from genrec.model.policy import Policy


def give_row_gradients(policy: "Policy", config: "SftConfig", processes: int, dense_sampled: bool) -> bool:
    """Let the embeddings of a catalogue above 50,000 items have gradients of the rows that are read; returns whether they do.

    They do not where a dense head reads all items, where processes share the gradients, on a GPU (where AdamW is one kernel)
    and by other optimizers than AdamW.
    """
    items = policy.items
    if items is None or len(items) <= EXACT_UP_TO or policy.device.type != "cpu":
        return False
    if processes > 1 or config.optimizer != "adamw" or not (dense_sampled or config.dense_head.loss_weight == 0):
        return False
    for table in (items.ids, items.nodes):
        if table is not None:
            table.sparse = True
    return True


def clip(parameters: Iterable[nn.Parameter], limit: float) -> torch.Tensor:
    """Scale gradients, some of rows alone, down to a norm of `limit`; returns the norm before, float32[]."""
    values = []
    for parameter in parameters:
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
    """AdamW which, of a parameter with a sparse gradient, updates the rows of that gradient alone.

    The state is that of AdamW. Bias is corrected by the steps of the whole parameter.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update; sparse gradients are used up."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._update_rows(parameter, parameter.grad.coalesce(), group)
                    parameter.grad = None  # AdamW's own step passes it over
        return super().step(closure)

    def _update_rows(self, parameter: nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        rows, values = gradient.indices()[0], gradient.values()
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        step, (beta1, beta2), rate = float(state["step"]), group["betas"], group["lr"]
        mean = state["exp_avg"][rows].lerp_(values, 1 - beta1)
        square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        scale = square.div_(1 - beta2**step).sqrt_().add_(group["eps"])
        moved = parameter[rows].mul_(1 - rate * group["weight_decay"])
        parameter[rows] = moved.addcdiv_(mean, scale, value=-rate / (1 - beta1**step))
