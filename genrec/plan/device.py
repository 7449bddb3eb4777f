"""A GPU that is not there: tensors on it have shapes and types and no numbers, and cost neither memory nor time.

They lie on torch's meta device, which says to whoever asks that it is a GPU, so that code takes the way it takes there.
(Fake tensors that are of CUDA themselves need a torch that was built with it.) What lies on the host is computed as ever.

What the host reads from the device is made up: numbers in arrays and lists are 0, a sum or count is 1, a condition holds,
and where places with a property are looked for, all have it. So everything takes part, and memory is that of the fullest
case.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal
from unittest import mock

import torch
from torch.fx.experimental import _config as fx_config
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from genrec.plan.kernels import KERNELS

DEVICE = torch.device("cuda", 0)
_META = torch.device("meta")


@contextlib.contextmanager
def absent_gpu(kernels: Literal["cuda", "cpu"] = "cuda", distinct: int = 1 << 62) -> Iterator[torch.device]:
    """Inside, the device that is given is one without numbers.

    `kernels`: whose are taken; a CPU's are for comparisons with one. `distinct`: different numbers that a tensor of them
    holds at most.
    """
    mode = _AbsentGpu(KERNELS[kernels], kernels == "cuda", distinct)
    with contextlib.ExitStack() as stack:
        # Autocast asks for a GPU and turns itself off where there is none.
        stack.enter_context(mock.patch("torch.cuda.amp.common.amp_definitely_not_available", return_value=False))
        stack.enter_context(mock.patch("torch.cuda.is_bf16_supported", return_value=True))
        stack.enter_context(mock.patch("torch.cuda.get_rng_state", return_value=None))  # it draws nothing
        stack.enter_context(mock.patch("torch.cuda.set_rng_state"))
        stack.enter_context(mock.patch("torch.cuda.Stream"))
        stack.enter_context(mock.patch("torch.cuda.Event"))
        stack.enter_context(fx_config.patch(meta_nonzero_assume_all_nonzero=True))  # type: ignore[attr-defined]
        stack.enter_context(mock.patch("torch.clear_autocast_cache", mode.forget_casts))
        stack.enter_context(mock.patch("transformers.modeling_utils.checkpoint", mode.checkpoint))
        stack.enter_context(mode)
        yield DEVICE


class _AbsentGpu(TorchFunctionMode):
    def __init__(self, kernels: dict[Any, Callable[..., torch.Tensor]], is_cuda: bool, distinct: int) -> None:
        super().__init__()
        self._kernels, self._distinct = kernels, distinct
        self._answers = {**_ANSWERS, _IS_CUDA: lambda _: is_cuda}
        self._casts: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def forget_casts(self) -> None:
        self._casts.clear()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        there = bool(args) and isinstance(args[0], torch.Tensor) and args[0].is_meta
        if there and func in self._answers:
            return self._answers[func](args[0])
        if func is torch.Tensor.copy_ and args[1].is_meta and not there:
            return args[0].zero_()
        kwargs.pop("pin_memory", None)  # of the host, for a GPU that is there
        if there and func in _CONDITIONS:
            result = func(*args, **kwargs)
            result.holds = _holds(args[0]) != (func == torch.Tensor.__invert__)
            return result
        if there and func in _UNIQUE:
            return self._unique(*args, **kwargs)
        if there and func in self._kernels:
            return self._kernels[func](*args, **kwargs)
        if func is torch.Tensor.copy_ and isinstance(args[1], torch.Tensor) and args[1].is_meta and not args[0].is_meta:
            return args[0]  # to the host, which keeps what it has
        if there and func in _TO and _moves_to_host(args[1:], kwargs):
            return torch.zeros(args[0].shape, dtype=_dtype_of(args, kwargs))
        if func is not torch.device:
            args, kwargs = tree_map(_on_meta, (args, kwargs))
        if func in _IN_LOWER_PRECISION and torch.is_autocast_enabled("cuda"):
            args, kwargs = tree_map(self._cast, (args, kwargs))
        return func(*args, **kwargs)

    def checkpoint(self, function: Any, *args: Any, context_fn: Any, **ways: Any) -> Any:
        """Torch's function, whose second computation is on this device too: a backward pass knows nothing of the mode."""
        from torch.utils.checkpoint import checkpoint

        def contexts() -> tuple[Any, Any]:
            forward, again = context_fn()
            return forward, self._inside(again)

        return checkpoint(function, *args, context_fn=contexts, **ways)

    @contextlib.contextmanager
    def _inside(self, context: Any) -> Iterator[None]:
        with self, context:
            yield

    def _cast(self, value: Any) -> Any:
        """As autocast does: a weight that is trained once, until autocast ends."""
        if not isinstance(value, torch.Tensor) or not value.is_meta or not value.is_floating_point():
            return value
        dtype = torch.get_autocast_dtype("cuda")
        if value.dtype in (dtype, torch.float64):
            return value
        if not (value.requires_grad and value.is_leaf and value.dtype == torch.float32):
            return value.to(dtype)
        if id(value) not in self._casts:
            self._casts[id(value)] = (value, value.to(dtype))
        return self._casts[id(value)][1]

    def _unique(
        self, values: torch.Tensor, *, return_inverse: bool = False, return_counts: bool = False, **_: Any
    ) -> Any:
        found = [values.new_empty(min(values.numel(), self._distinct))]
        found += [torch.empty_like(values, dtype=torch.int64)] if return_inverse else []
        found += [torch.empty_like(found[0], dtype=torch.int64)] if return_counts else []
        return tuple(found) if len(found) > 1 else found[0]


def _on_meta(value: Any) -> Any:
    """The absent device's other name."""
    if isinstance(value, torch.device):
        return _META if value.type == DEVICE.type else value
    return "meta" if isinstance(value, str) and value.partition(":")[0] == DEVICE.type else value


def _moves_to_host(args: Any, kwargs: dict[str, Any]) -> bool:
    devices = [v for v in (*args, kwargs.get("device")) if isinstance(v, str | torch.device)]
    return (not args and not kwargs) or any(torch.device(d).type == "cpu" for d in devices)


def _dtype_of(args: Any, kwargs: dict[str, Any]) -> torch.dtype:
    given = [v for v in (*args[1:], kwargs.get("dtype")) if isinstance(v, torch.dtype)]
    return given[0] if given else args[0].dtype


def _holds(condition: torch.Tensor) -> bool:
    return getattr(condition, "holds", True)


def _host(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype)


_IS_CUDA = torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]
_TO = {torch.Tensor.to, torch.Tensor.cpu}
_CONDITIONS = {torch.Tensor.__invert__, torch.Tensor.any, torch.Tensor.all}
_UNIQUE = {torch.Tensor.unique, torch.unique}
_ANSWERS: dict[Any, Any] = {
    torch.Tensor.device.__get__: lambda tensor: DEVICE,  # type: ignore[attr-defined]
    torch.Tensor.numpy: lambda tensor: _host(tensor).numpy(),
    torch.Tensor.tolist: lambda tensor: _host(tensor).tolist(),
    torch.Tensor.item: lambda tensor: 1.0 if tensor.is_floating_point() else 1,
    torch.Tensor.__float__: lambda tensor: 1.0,
    torch.Tensor.__int__: lambda tensor: 1,
    torch.Tensor.__bool__: _holds,
}
_IN_LOWER_PRECISION = {  # under autocast, among what models call
    *(functional.linear, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__),
    *(torch.mm, torch.Tensor.mm, torch.bmm, torch.Tensor.bmm, torch.addmm, torch.Tensor.addmm, torch.baddbmm),
    *(torch.einsum, torch.addbmm),
}
