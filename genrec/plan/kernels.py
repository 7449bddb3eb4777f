"""The kernels that a GPU takes, chosen here: on a machine without one torch takes others, which keep other tensors for the
backward pass.

CUDA's order for attention (aten/src/ATen/native/transformers/cuda/sdp_utils.cpp): flash attention for half precision
without a mask, the memory-efficient kernel for any mask and for float32, plain products where query heads share keys and
neither fits. Dropout keeps a mask of a byte (aten/src/ATen/native/Dropout.cpp), elsewhere one in the type of the input.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

_MASK_ALIGNMENT = 16  # columns: the memory-efficient kernel wants rows of a mask to begin at multiples
_FLASH_DIMENSIONS = 256  # of a head, at most


def gpu_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """[B, H, T, d] of queries [B, H, T, d], keys and values [B, H or V, S, d], as torch's function of the same arguments."""
    query, key, value, attn_mask = _cast(query, key, value, attn_mask)
    aten = torch.ops.aten
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    if attn_mask is None and is_half and query.shape[-1] <= _FLASH_DIMENSIONS:
        return aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, scale=scale)[0]
    bias = None if attn_mask is None else _aligned(_added(attn_mask, query), query, key)
    if enable_gqa and query.shape[1] != key.shape[1]:
        return aten._scaled_dot_product_attention_math(
            query, key, value, bias, dropout_p, is_causal, scale=scale, enable_gqa=True
        )[0]
    keeps = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, keeps, dropout_p, is_causal, scale=scale
    )[0]


def cpu_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The same by the kernel that a CPU takes where nothing is dropped."""
    query, key, value, attn_mask = _cast(query, key, value, attn_mask)
    bias = None if attn_mask is None else _added(attn_mask, query)
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=bias, scale=scale
    )[0]


def _cast(query: torch.Tensor, *others: torch.Tensor | None) -> Any:
    """What autocast makes of the arguments of the whole function."""
    if not torch.is_autocast_enabled("cuda"):
        return query, *others
    dtype = torch.get_autocast_dtype("cuda")
    return tuple(t.to(dtype) if t is not None and t.is_floating_point() else t for t in (query, *others))


def _added(mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """A mask as kernels want it: added to the scores, in their type."""
    if mask.dtype != torch.bool:
        return mask
    return torch.where(mask, torch.zeros((), dtype=query.dtype, device=query.device), -torch.inf)


def _aligned(bias: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Aligned, and for all heads."""
    lacking = -bias.shape[-1] % _MASK_ALIGNMENT
    if lacking:
        bias = functional.pad(bias, (0, lacking))[..., : bias.shape[-1]]
    return bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])


def gpu_dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """As torch's function of the same arguments."""
    if not training or not 0 < p < 1:
        return torch.dropout(input, p, training)
    return torch.native_dropout(input, p, True)[0]


KERNELS: dict[str, dict[Any, Callable[..., torch.Tensor]]] = {
    "cuda": {functional.scaled_dot_product_attention: gpu_attention, functional.dropout: gpu_dropout},
    "cpu": {functional.scaled_dot_product_attention: cpu_attention},
}
