"""Devices, the floating-point types they compute in, and layers compiled for them or computed twice for their memory."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch

from genrec.bf16 import computes_bf16
from genrec.errors import ConfigError


def default_device() -> torch.device:
    """The first GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def in_float32(device: torch.device) -> torch.autocast:
    """A block in which autocast rounds nothing."""
    return torch.autocast(device.type, enabled=False)


def products(hidden: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """float32 products of states [..., D] with `rows` [K, D], -> [..., K]; or of [..., L, D] with [L, K, D], each level with
    its own, -> [..., L, K]. Whatever the body computes in: rounded to bfloat16, logits near 10 would lie 1/16 apart,
    which is ties in a beam and noise in a probability ratio.
    """
    with in_float32(hidden.device):
        if rows.dim() == 2:
            return hidden.float() @ rows.float().T
        flat = hidden.float().reshape(-1, *hidden.shape[-2:]).transpose(0, 1)  # [L, T, D]
        return (flat @ rows.float().transpose(1, 2)).transpose(0, 1).reshape(*hidden.shape[:-1], -1)


def frozen_dtype(compute: torch.dtype, device: torch.device) -> torch.dtype:
    """What weights that are not trained are stored in where products are taken in `compute`.

    On a GPU the same type: rounding float32 weights anew for every product would take longer than the product. On a CPU
    float32: the search gathers its weights in the type it computes in (`genrec.search.fused`).
    """
    return compute if device.type == "cuda" else torch.float32


def compute_dtype(precision: Literal["fp32", "bf16"], device: torch.device, setting: str) -> torch.dtype:
    """The type that matrix products are taken in under `precision`, the value of the config's `setting`.

    Raises ConfigError for bf16 on a device that only emulates it: fp32 in its place would be stored as a bf16 result.
    """
    if precision == "fp32":
        return torch.float32
    if not computes_bf16(device):
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU of this machine"
        raise ConfigError(
            f"{setting} is bf16, but {name} has no bfloat16 instructions and would only emulate them, many times "
            f"slower than float32; set {setting} to fp32, or run on a device with bfloat16"
        )
    return torch.bfloat16


def compile_layers(body: Any) -> None:
    """From now on the layers of a transformer run compiled: their small steps become few kernels, and a backward pass
    keeps less.

    One compilation serves all layers and lengths; training, scoring and the two kinds of steps of a search (reading
    prompts, appending to beams) take one each, of half a minute.
    """
    for layer in body.layers:
        layer.compile(dynamic=True)


def are_compiled(body: Any) -> bool:
    """Whether `compile_layers` was called for these layers; a copy of a module is not compiled."""
    return any(layer._compiled_call_impl is not None for layer in body.layers)


def recompute_activations(model: Any, precision: Callable[[], AbstractContextManager[None]]) -> None:
    """From now on a backward pass computes the activations of the layers again (gradient checkpointing).

    `precision` is the block that forwards run in (`Policy.precision`): torch itself restores autocast alone, and layers
    of an adapter would then get another type than in the forward.
    """
    ways = {"use_reentrant": False, "context_fn": lambda: (contextlib.nullcontext(), precision())}
    model.gradient_checkpointing_enable(ways)
