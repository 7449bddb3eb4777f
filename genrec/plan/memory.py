"""The memory that tensors take on a device, by kind, at the moment when it is most; and the operations that made them.

As torch.distributed._tools.mem_tracker.MemTracker counts, which allows a model one forward only: a step of several
micro-batches and a search, whose layers are called one by one, have more. Works on tensors with and without numbers alike.
"""

import contextlib
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

WEIGHTS, TRAINED, GRADIENTS, OPTIMIZER = "weights", "trained", "gradients", "optimizer"
REFERENCE, CATALOGUE = "reference", "catalogue"
ACTIVATIONS, CACHE, LOGITS, TEMPORARY = "activations", "keys and values", "logits", "temporary"
GRAPHS = "recorded searches"
KINDS = (WEIGHTS, TRAINED, GRADIENTS, OPTIMIZER, REFERENCE, CATALOGUE, ACTIVATIONS, CACHE, LOGITS, TEMPORARY)
LASTING = (WEIGHTS, TRAINED, OPTIMIZER, REFERENCE, CATALOGUE)  # from one step to the next

_BLOCK = 512  # bytes: what CUDA's caching allocator rounds up to


class Memory(TorchDispatchMode):
    """Counts the storages on one type of device (meta: `genrec.plan.device`) while it is active.

    `now` and `peak` are bytes by kind, `peak` those of the moment with the largest sum; `operations` are floating-point
    operations of matrix products and attention, `judging` those of them that no gradient is wanted of. A tensor made in a forward pass has the kind of the innermost function on the stack
    that `functions` names, by its code; one made in a backward pass is `temporary`, unless it becomes a gradient.
    """

    def __init__(self, functions: Mapping[CodeType, str], device_type: str = "meta", round_up: bool = True) -> None:
        super().__init__()
        self.device_type, self._functions = device_type, functions
        self._block = _BLOCK if round_up else 1
        self._storages: dict[int, tuple[weakref.ref, int, str]] = {}
        self.now = dict.fromkeys(KINDS, 0)
        self.peak = dict(self.now)
        self._sum = self._largest = 0
        self.operations = self.judging = 0
        self._optimizing = False

    @property
    def peak_bytes(self) -> int:
        return self._largest

    @property
    def lasting_bytes(self) -> int:
        """Of what there is now and outlasts a step."""
        return sum(self.now[kind] for kind in LASTING)

    def start_again(self) -> None:
        """Forget the peak and the operations so far."""
        self.peak, self._largest, self.operations, self.judging = dict(self.now), self._sum, 0, 0

    def label(self, kind: str, tensors: Iterable[torch.Tensor | None]) -> None:
        """Count these tensors as of this kind, those too that were made before."""
        with torch._C.DisableTorchFunction():
            storages = [t.untyped_storage() for t in tensors if t is not None and t.device.type == self.device_type]
        for storage in storages:
            known = self._storages.get(storage._cdata)
            if known is None:
                self._add(storage, kind)
            elif known[2] != kind:
                reference, size, before = known
                self._storages[storage._cdata] = (reference, size, kind)
                self.now[before] -= size
                self.now[kind] += size

    @contextlib.contextmanager
    def training(self, parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """Inside, gradients of these parameters and the state of the optimizer are told apart from the rest."""

        def before(*_: Any) -> None:
            self._optimizing = True

        def after(*_: Any) -> None:
            self._optimizing = False
            states = (value for state in optimizer.state.values() for value in state.values())
            self.label(OPTIMIZER, (value for value in states if isinstance(value, torch.Tensor)))

        def gradient(parameter: torch.Tensor) -> None:
            self.label(GRADIENTS, [parameter.grad])

        hooks = [p.register_post_accumulate_grad_hook(gradient) for p in parameters if p.requires_grad]
        hooks += [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        count = flop_registry.get(func._overloadpacket)
        if count is None and torch.is_inference_mode_enabled():
            with self:  # there, what is made of other operations arrives whole
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if count is not None:
            done = count(*args, **kwargs, out_val=result)
            self.operations += done
            if not torch.is_grad_enabled() and torch._C._current_graph_task_id() == -1:
                self.judging += done
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == self.device_type:
                storage = tensor.untyped_storage()
                if storage._cdata not in self._storages:
                    self._add(storage, self._kind())
        return result

    def _add(self, storage: torch.UntypedStorage, kind: str) -> None:
        key, size = storage._cdata, -(-storage.nbytes() // self._block) * self._block

        def gone(_: Any) -> None:
            *_, size, kind = self._storages.pop(key)
            self.now[kind] -= size
            self._sum -= size

        self._storages[key] = (weakref.ref(storage, gone), size, kind)
        self.now[kind] += size
        self._sum += size
        if self._sum > self._largest:
            self._largest, self.peak = self._sum, dict(self.now)

    def _kind(self) -> str:
        if self._optimizing or torch._C._current_graph_task_id() != -1:
            return TEMPORARY
        frame: Any = sys._getframe(2)
        while frame is not None:
            kind = self._functions.get(frame.f_code)
            if kind is not None:
                return kind
            frame = frame.f_back
        return ACTIVATIONS
