"""Attention on a GPU for what transformers' own does slowly: masks where query heads share keys, and packed sequences.

**Masks.** transformers' sdpa repeats keys and values for every query head (eight times in Qwen2.5-3B), and a kernel that
works on tiles of 64 or 128 query rows has 20 siblings to fill one with. Here the G query heads that share a key-value
head stand below each other as G * T rows of one head: no key is copied, tiles are full, and the same memory-efficient
kernels take it, whatever the body around (LoRA, 4-bit weights). The mask, additive and in the type of the products, is
made once for all layers.

**Packed sequences** of unequal length stand one after the other in one row; each sees itself alone, and there is no padding.
"""

import inspect
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "genrec_packed_heads"
_ALIGNED = 16  # elements: rows of a mask that start elsewhere are copied by every layer
_VARLEN = inspect.signature(varlen_attn).parameters  # torch 2.11 to 2.13 name causality in different ways


class Sequences(NamedTuple):
    """Where packed sequences begin and end."""

    offsets: torch.Tensor  # int32[B + 1]
    longest: int


def pack_heads(body: Any) -> None:
    """From now on the body's layers attend as described above wherever `layer_mask` made their mask."""
    if body.config._attn_implementation == "sdpa":
        body.set_attn_implementation(NAME)


def layer_mask(body: Any, mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What the body's layers take in the place of `mask`, bool[B, 1, T, S], when their inputs have type `dtype`.

    Packed: 0 or -inf, [B, 1, G * T, S] in the type that products are taken in. Every row sees something.
    """
    if body.config._attn_implementation != NAME:
        return mask
    kind = mask.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else dtype
    num_rows, (width, length) = len(mask), mask.shape[2:]
    if mask.stride(0) == 0:  # the same for all
        mask = mask[:1]
    padded = -(-length // _ALIGNED) * _ALIGNED
    bias = torch.full((len(mask), 1, width, padded), -torch.inf, dtype=dtype, device=mask.device)
    bias[..., :length].masked_fill_(mask, 0.0)
    packed = bias.repeat(1, 1, _num_sharing(body), 1)[..., :length]
    return packed.expand(num_rows, -1, -1, -1)


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sequences: Sequences | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls an attention: query [B, H, T, d], key and value [B, V, S, d] -> [B, T, H, d].

    A mask that `layer_mask` did not make (none, or one of transformers' own) is left to sdpa. With `sequences`, B is 1, T the
    sum of their lengths, and there is no mask and no dropout.
    """
    if sequences is not None and query.is_cuda:
        return _each_alone(query, key, value, sequences, scaling), None
    if sequences is not None:
        attention_mask = _block_diagonal(sequences, query.shape[2])
    sharing = query.shape[1] // key.shape[1]
    if sharing == 1 or attention_mask is None or attention_mask.shape[2] == query.shape[2]:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
    packed = query.unflatten(1, (key.shape[1], sharing)).flatten(2, 3)
    found = functional.scaled_dot_product_attention(
        packed, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling
    )
    by_head = found.unflatten(2, (sharing, query.shape[2]))  # [B, V, G, T, d]
    return by_head.permute(0, 3, 1, 2, 4).flatten(2, 3), None


def _each_alone(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sequences: Sequences, scaling: float | None
) -> torch.Tensor:
    """[1, T, H, d] by FlashAttention of variable lengths, which autocast does not cast the inputs of."""
    inputs = [t[0].transpose(0, 1) for t in (query, key, value)]
    if torch.is_autocast_enabled(query.device.type):
        inputs = [t.to(torch.get_autocast_dtype(query.device.type)) for t in inputs]
    given: dict[str, Any] = {"window_size": (-1, 0), "scale": scaling, "enable_gqa": True, "is_causal": True}
    if "window_size" in _VARLEN:
        del given["is_causal"]
    options = {name: given[name] for name in given if name in _VARLEN}
    offsets, longest = sequences
    found: Any = varlen_attn(inputs[0], inputs[1], inputs[2], offsets, offsets, longest, longest, **options)
    return found.unsqueeze(0)


def _block_diagonal(sequences: Sequences, length: int) -> torch.Tensor:
    """bool[1, 1, T, T]: causal inside of every sequence."""
    place = torch.arange(length, device=sequences.offsets.device)
    number = torch.searchsorted(sequences.offsets, place, right=True)
    return ((number[:, None] == number) & (place[:, None] >= place))[None, None]


def _num_sharing(body: Any) -> int:
    """Query heads that share a key-value head."""
    return body.config.num_attention_heads // body.config.num_key_value_heads


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
