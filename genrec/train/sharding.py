"""What a trainer asks of the weights that it trains, whether the learner processes divide them or not.

It sees the parameters it updates (`parameters`), runs every forward and backward through here, and has the whole model
where it searches (`gathered`). Here nothing is divided; `genrec.train.fully_shard` divides.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import nn

from genrec.model.policy import Policy
from genrec.train.learner_group import LearnerGroup

T = TypeVar("T")


class Turn(NamedTuple, Generic[T]):
    """A part of a batch that this process computes."""

    part: T
    counts: bool  # False: computed for the communication in it alone, and worth nothing
    last: bool  # of the batch


class Sharding:
    """Nothing is divided: every process holds everything.

    `parameters` are what an optimizer updates, by name: the policy's; `heads` those of the other modules.
    """

    moves_weights = False  # whether weights lie elsewhere whenever they are gathered: no recording of a forward holds

    def __init__(self, policy: Policy, group: LearnerGroup, heads: Mapping[str, nn.Module] | None = None) -> None:
        self.policy, self.group = policy, group
        self.parameters = policy.trainable_parameters()
        self.heads = {
            f"{name}.{inner}": parameter
            for name, head in (heads or {}).items()
            for inner, parameter in head.named_parameters()
        }

    # ---- computing ----------------------------------------------------------------------------------------------------

    def turns(self, parts: Sequence[T]) -> list[Turn[T]]:
        """This process's share of the parts of a batch, in order."""
        own = self.group.share(list(parts))
        return [Turn(part, True, place + 1 == len(own)) for place, part in enumerate(own)]

    def forward(self, function: Callable[[], T]) -> T:
        """What `function` returns, which may read every weight; its tensors lead back to them."""
        return function()

    def backward(self, loss: torch.Tensor, last: bool = True) -> None:
        """Add a loss's gradients to those there are; `last`: before they are summed over the processes."""
        loss.backward()

    def sum_gradients(self) -> None:
        """The sum over the processes goes to the `grad` of the parameters and heads."""
        self.group.sum_gradients([*self.parameters.values(), *self.heads.values()])

    def clip(self, parameters: Iterable[nn.Parameter], limit: float) -> torch.Tensor:
        """Scale gradients down to a norm of `limit`; returns the norm before, float32[]."""
        return nn.utils.clip_grad_norm_(list(parameters), limit)

    # ---- weights ------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """To be called after `parameters` changed: copies of the weights that were gathered for a forward are out of date."""

    @contextlib.contextmanager
    def holding(self, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """Inside, parameters have these weights. They alone are held twice, never the whole model."""
        current = {name: self.parameters[name].data for name in weights}
        try:
            for name, value in weights.items():
                self.parameters[name].data = value.to(self.parameters[name].device)
            yield
        finally:
            for name, value in current.items():
                self.parameters[name].data = value

    def gathered(self) -> AbstractContextManager[None]:
        """Inside, the policy is whole in every process, and using it waits for no other process.

        All processes enter and leave together.
        """
        return contextlib.nullcontext()

    def gather(self) -> None:
        """Make the policy whole for good; nothing is trained after that."""

    # ---- checkpoints --------------------------------------------------------------------------------------------------

    def saves(self, due: bool) -> bool:
        """Whether this process takes part in saving a checkpoint; `due` is what the first process thinks of it."""
        return due and self.group.first

    def shape(self, name: str) -> tuple[int, ...]:
        """The whole shape of a parameter of which this process may hold some rows."""
        return tuple((self.parameters | self.heads)[name].shape)

    def rows(self, name: str) -> slice:
        """The rows of a parameter that this process holds."""
        return slice(None)

    def whole(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor of the size of this process's rows of a parameter with the rows of all others; any other as it is."""
        return tensor
