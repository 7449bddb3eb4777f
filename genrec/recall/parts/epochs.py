"""Epochs of a trained channel, stopped early on validation rows."""

import copy
from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from genrec.errors import TrainingError
from genrec.recall.parts.scorer import Held, Scorer
from genrec.recall.parts.validation import validate


class EpochSettings(Protocol):
    """The settings that every trained channel has."""

    @property
    def epochs(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def max_valid_users(self) -> int: ...


def train_epochs(
    scorer: Scorer,
    model: nn.Module,
    held: Held | None,
    options: EpochSettings,
    run: Callable[[int], None],
    judged: Callable[[int, float], None] = lambda epoch, figure: None,
) -> None:
    """`run` epochs 0, 1, ... of `model`, the network behind `scorer`, until NDCG@10 on `held` no longer rises.

    The weights of the best epoch are kept; without validation rows all epochs are run and the last weights stay. `judged`
    gets the figure of each epoch. The model ends in evaluation mode.
    """
    best, best_state, since = -1.0, None, 0
    for epoch in range(options.epochs):
        model.train()
        run(epoch)
        model.eval()
        if held is None:
            continue
        _, figure = validate(scorer, held)
        judged(epoch, figure)
        since = 0 if figure > best else since + 1
        if figure > best:
            best, best_state = figure, copy.deepcopy(model.state_dict())
        if since >= options.patience:
            break
    if best_state is not None:
        model.load_state_dict(best_state)


def checked(loss: torch.Tensor, where: str) -> torch.Tensor:
    """The loss. Raises TrainingError when it is not finite; `where` names the channel and the place in its training."""
    if not torch.isfinite(loss):
        raise TrainingError(f"baseline {where}: the loss is not finite")
    return loss
