"""Optimizer states, gradients and weights divided over the learner processes by PyTorch's FSDP2 (ZeRO: Rajbhandari et al. 2020,
arXiv 1910.02054, section 5).
"""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import distributed as dist
from torch import nn

from genrec.errors import ConfigError, TrainingError
from genrec.model.policy import Policy
from genrec.model.precision import are_compiled, compile_layers
from genrec.train.learner_group import LearnerGroup
from genrec.train.sharding import Sharding, Turn

T = TypeVar("T")
Stage = Literal["none", "optimizer", "gradients", "weights"]


def divide(policy: Policy, group: LearnerGroup, stage: Stage, heads: Mapping[str, nn.Module] | None = None) -> Sharding:
    """The trainable parameters of a policy and of `heads` (modules trained with it, by name), divided by `stage`.

    Outside of a torch.distributed group nothing is. The policy has its dropout, checkpointing and compiled layers by now.
    """
    if stage == "none" or not (dist.is_available() and dist.is_initialized()):
        return Sharding(policy, group, heads)
    return FullyShard(policy, group, stage, heads)


class FullyShard(Sharding):
    """Optimizer states, also gradients, or also weights divided by rows over the processes.

    optimizer: a process sums up gradients of its whole batch before they are divided. gradients: after every backward.
    Both hold all weights from the first forward of a step to its end. weights: one layer at a time has them; what lies
    outside of the layers (embedding, norm, item vectors, heads) from the first forward to the end of a backward. Frozen
    weights are divided by `weights` alone: there are no states or gradients of them.

    `parameters` are plain tensors of this process's rows, in the memory that FSDP gathers from, so that optimizers,
    averages and copies need to know nothing of the division.

    A process with fewer parts of a batch than others computes one again for nothing: gathering takes all of them. A search
    has as many forwards as its prompts ask for, and reads single matrices of layers; it has the whole model instead, in
    modules as they were before the division (`_twin`), whose weights are there for that time alone.
    """

    moves_weights = True

    def __init__(
        self, policy: Policy, group: LearnerGroup, stage: Stage, heads: Mapping[str, nn.Module] | None = None
    ) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        if stage == "weights" and any(type(p).__name__ == "Params4bit" for p in policy.model.parameters()):
            raise ConfigError("sharding is weights, but packed 4-bit weights are not divided; set it to gradients")
        # Views come out of forwards, and nothing is written into them.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        self.stage = stage
        self._root: Any = _Everything(policy.model, policy.items, heads or {})
        frozen = {p for p in self._root.parameters() if not p.requires_grad}
        left_out = set() if stage == "weights" else frozen
        self._twin = _twin(policy, left_out)
        self._places = {name: p for name, p in self._twin.named_parameters() if p not in left_out}
        mesh = init_device_mesh(policy.device.type, (group.size,))
        for layer in policy.body.layers:
            fully_shard(layer, mesh=mesh, reshard_after_forward=stage == "weights", ignored_params=left_out)
        fully_shard(self._root, mesh=mesh, reshard_after_forward=False, ignored_params=left_out)
        self._divided = [module for module in self._root.modules() if isinstance(module, FSDPModule)]
        for module in self._divided:
            module.set_gradient_divide_factor(1.0)  # a sum: every process has its share of a mean already
            module.set_force_sum_reduction_for_comms(True)
            module.set_reshard_after_backward(stage == "weights", recurse=False)
        with torch.no_grad():
            self._root(lambda: None)  # FSDP settles the memory of its rows in the first forward
        self.refresh()
        super().__init__(policy, group, heads)
        self._shards: dict[str, Any] = self.parameters | self.heads
        self.parameters = {name: _rows(p) for name, p in self.parameters.items()}
        self.heads = {name: _rows(p) for name, p in self.heads.items()}

    def turns(self, parts: Sequence[T]) -> list[Turn[T]]:
        """As many in every process."""
        own = [Turn(turn.part, True, False) for turn in super().turns(parts)]
        idle = -(-len(parts) // self.group.size) - len(own)
        own += [Turn(parts[0], False, False)] * idle
        return [turn._replace(last=place + 1 == len(own)) for place, turn in enumerate(own)]

    def forward(self, function: Callable[[], T]) -> T:
        with _in_step():
            return self._root(function)

    def backward(self, loss: torch.Tensor, last: bool = True) -> None:
        self._root.set_requires_gradient_sync(last or self.stage != "optimizer")
        with _in_step():
            loss.backward()

    def sum_gradients(self) -> None:
        for name, parameter in (self.parameters | self.heads).items():
            shard = self._shards[name]
            parameter.grad = None if shard.grad is None else shard.grad.to_local()
            shard.grad = None

    def clip(self, parameters: Iterable[nn.Parameter], limit: float) -> torch.Tensor:
        every = list(parameters)
        own = nn.utils.get_total_norm([p.grad for p in every if p.grad is not None])
        norm = self.group.sum_(own.to(self.policy.device).square()).sqrt()
        nn.utils.clip_grads_with_norm_(every, limit, norm)
        return norm

    def refresh(self) -> None:
        for module in self._divided:
            module.reshard()

    @contextlib.contextmanager
    def holding(self, weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
        current = {name: self.parameters[name].detach().clone() for name in weights}
        self._copy(weights)
        try:
            yield
        finally:
            self._copy(current)

    @torch.no_grad()
    def _copy(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, value in weights.items():
            self.parameters[name].copy_(value)
        self.refresh()

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        self.gather()
        try:
            yield
        finally:
            for place in self._places.values():
                place.data = place.data.new_empty(0)
            self._use(self._root)

    def gather(self) -> None:
        self.refresh()
        for module in self._divided:
            module.unshard()
        found = dict(self._root.named_parameters())
        for name, place in self._places.items():
            place.data = found[name].data
        self._use(self._twin)

    def _use(self, modules: Any) -> None:
        self.policy.use_model(modules.model)
        self.policy.items = modules.items
        if modules is self._root:
            self.refresh()

    def saves(self, due: bool) -> bool:
        return self.group.sum_floats([float(due and self.group.first)], self.policy.device)[0] > 0

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._shards[name].shape)

    def rows(self, name: str) -> slice:
        length = self._shards[name].shape[0]
        size = -(-length // self.group.size)  # as torch.chunk: the last ones may have fewer, or none
        start = min(length, self.group.rank * size)
        return slice(start, min(length, start + size))

    def whole(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        from torch.distributed.tensor import DTensor

        shard = self._shards[name]
        if tensor.shape != shard.to_local().shape:
            return tensor
        return DTensor.from_local(
            tensor.to(shard.device),
            shard.device_mesh,
            shard.placements,
            run_check=False,
            shape=shard.shape,
            stride=shard.stride(),
        ).full_tensor()


@contextlib.contextmanager
def _in_step() -> Iterator[None]:
    """A process that runs out of memory cannot try again with less: the others wait for it in the middle of a forward."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "a process ran out of GPU memory while others waited for its share of the weights or gradients; lower "
            "sft.micro_batch_size or rl.micro_batch_size, or set sft.gradient_checkpointing to true"
        ) from error


class _Everything(nn.Module):
    """All modules a forward may read as one, whose forward is any function: FSDP gathers what is outside of the layers
    when it begins, wherever it is read in it.
    """

    def __init__(self, model: nn.Module, items: nn.Module | None, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.model, self.items, self.heads = model, items, nn.ModuleDict(dict(heads))

    def forward(self, function: Callable[[], T]) -> T:
        return function()


def _twin(policy: Policy, shared: set[nn.Parameter]) -> _Everything:
    """The same modules with parameters of no elements, but for those `shared`; buffers are shared too."""
    modules = _Everything(policy.model, policy.items, {})
    kept: dict[int, Any] = {id(buffer): buffer for buffer in modules.buffers()}
    for parameter in modules.parameters():
        empty = nn.Parameter(parameter.data.new_empty(0), requires_grad=parameter.requires_grad)
        kept[id(parameter)] = parameter if parameter in shared else empty
    twin = copy.deepcopy(modules, kept).eval()
    if are_compiled(policy.body):
        policy.use_model(twin.model)
        compile_layers(policy.body)
        policy.use_model(modules.model)
    return twin


def _rows(parameter: Any) -> nn.Parameter:
    """The rows of a divided parameter that this process holds, in the same memory."""
    return nn.Parameter(parameter.detach().to_local())
