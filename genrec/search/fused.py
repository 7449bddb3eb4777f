"""`genrec.search.layout.Siblings` for small dense Qwen2 models on the CPU, where the small steps of the stock modules take as
long as their matrix products.

The same arithmetic in fewer passes over memory: weights of norms folded into the linear layers after them, query, key
and value (and gate and up) as one product, rotary positions as one complex product in place, keys and values written
where attention reads them, and no row computed that is not used. Rows are taken a few at a time, so that what is
computed between two products stays in the cache of a core. Weights are gathered anew for every search: reinforcement learning
changes them in place between two searches.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers.models.qwen2 import modeling_qwen2 as qwen2

from genrec.search.layout import last_real, position_ids, prompt_mask

_MAX_WEIGHTS = 1 << 22  # to gather more takes as long as a search for one user, and products dominate anyway
_TOKENS = 2048  # in a slice of rows
_PLAIN = (
    *(qwen2.Qwen2Model, qwen2.Qwen2DecoderLayer, qwen2.Qwen2Attention, qwen2.Qwen2MLP, qwen2.Qwen2RMSNorm),
    *(qwen2.Qwen2RotaryEmbedding, nn.ModuleList, nn.Embedding, nn.Linear),
)


def fits(body: nn.Module) -> bool:
    """Whether `FusedSiblings` computes what `body` does: a small Qwen2, float32 on the CPU, every module a stock one."""
    if type(body) is not qwen2.Qwen2Model:
        return False
    config: Any = body.config
    layers: Any = body.layers
    activations = {layer.mlp.act_fn for layer in layers}
    return (
        config.hidden_act == "silu"
        and config.rope_parameters["rope_type"] == "default"
        and not body.has_sliding_layers
        and all(type(module) in _PLAIN or module in activations for module in body.modules())
        and all(p.device.type == "cpu" and p.dtype == torch.float32 for p in body.parameters())
        and sum(p.numel() for p in layers.parameters()) <= _MAX_WEIGHTS
    )


class _Layer(NamedTuple):
    """Weights as [inputs, outputs]; H query and V key-value heads of d dimensions, I the width of the MLP."""

    qkv: torch.Tensor  # [D, (H + 2V) * d], queries scaled, both dimensions of a rotary pair adjacent
    bias: torch.Tensor  # [(H + 2V) * d]
    out: torch.Tensor  # [H * d, D]
    gate_up: torch.Tensor  # [D, 2I]
    down: torch.Tensor  # [I, D]


class FusedSiblings:
    """A prompt batch under search, as `Siblings`: B prompts of P positions, then up to `capacity` sibling tokens."""

    def __init__(
        self,
        body: Any,
        ids: torch.Tensor,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        capacity: int,
        dtype: torch.dtype,
    ) -> None:
        """Run prompts of embeddings [B, P, D]; where `ids` int64[B, P] are equal, so are they. `last_hidden`, [B, D],
        is the final state of each prompt's last position.

        Products with weights are taken in `dtype`; norms, attention and the residual stream are float32.
        """
        config = body.config
        self._embedding, self._final, self._eps = body.embed_tokens.weight, body.norm.weight, config.rms_norm_eps
        self._num_queries, self._num_keys = config.num_attention_heads, config.num_key_value_heads
        self._dim = body.layers[0].self_attn.head_dim
        self._layers = [_gather(layer, dtype) for layer in body.layers]
        self._real = attention_mask.bool()
        self._lengths = attention_mask.sum(1, keepdim=True)
        num_rows, self._used = attention_mask.shape
        angles = torch.arange(self._used + capacity)[:, None] * body.rotary_emb.inv_freq
        turns = torch.polar(torch.ones_like(angles), angles)
        self._turns = turns.repeat(1, self._num_queries + self._num_keys)  # complex64[T, (H + V) * d / 2], by position
        shape = (len(self._layers), 2, num_rows, self._num_keys, self._used + capacity, self._dim)
        self._cache = embeds.new_empty(shape)  # keys and values; those of padding are masked, but have to be finite
        self._ancestors = self._lengths.new_empty(num_rows, 1, 0)  # columns of the cache
        distinct, words = ids.unique(return_inverse=True)
        example = words.new_empty(len(distinct)).scatter_(0, words.flatten(), torch.arange(words.numel()))
        first = self._first_states(embeds.flatten(0, 1)[example])
        self.last_hidden = torch.cat(
            [
                self._read(embeds[rows, columns], words[rows, columns], first, rows, columns)
                for rows, columns in self._blocks()
            ]
        )

    @torch.autocast("cpu", enabled=False)
    def extend(
        self, token_ids: torch.Tensor, parents: torch.Tensor, needed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Append one token to each of W beams; hidden states [B, W, D], as `Siblings.extend`.

        Of those that are not `needed`, only what fills a row up to the longest of its slice is computed; the others are zero.
        """
        num_rows, width = token_ids.shape
        depth = self._ancestors.shape[2]
        ancestors = self._ancestors.gather(1, parents.unsqueeze(-1).expand(-1, -1, depth))
        beams = torch.arange(width).expand(num_rows, -1)
        order = beams if needed is None else needed.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
        counts = torch.full((num_rows,), width) if needed is None else needed.sum(1)
        kept = int(counts.max())  # beams of a row, at most
        places = torch.empty_like(beams).scatter_(1, order, beams).clamp_max_(max(0, kept - 1))
        start, self._used = self._used, self._used + kept
        self._ancestors = torch.cat([ancestors, (start + places).unsqueeze(-1)], dim=2)
        hidden = self._embedding.new_zeros(num_rows, width, self._embedding.shape[1])
        if kept:
            order = order[:, :kept]
            seen = self._ancestors.gather(1, order.unsqueeze(-1).expand(-1, -1, depth + 1))
            self._append(token_ids.gather(1, order), seen, counts, order, start, hidden)
        return hidden

    def _append(
        self,
        token_ids: torch.Tensor,
        seen: torch.Tensor,
        counts: torch.Tensor,
        order: torch.Tensor,
        start: int,
        hidden: torch.Tensor,
    ) -> None:
        """Compute the beams `order` int64[B, W'], of a row the first `counts` int64[B], into `hidden` [B, W, D].

        `seen` int64[B, W', depth] are the columns from `start` on, or before, that a beam sees beside its prompt.
        """
        mask = torch.full((*token_ids.shape, self._used), -torch.inf)
        mask[:, :, : self._real.shape[1]].masked_fill_(self._real.unsqueeze(1), 0.0)
        mask.scatter_(2, seen, 0.0)
        turns = self._turns[self._lengths + seen.shape[2] - 1]
        first, last = int(token_ids.min()), int(token_ids.max())
        table = self._first_states(self._embedding[first : last + 1])
        for rows in self._slices(token_ids.shape[1]):
            width = int(counts[rows].max())
            self._cache[:, :, rows, :, start + width : self._used] = 0.0  # masked, but what is there must be finite
            if width:
                ids = token_ids[rows, :width]
                found = self._extend(
                    ids, table[ids - first], mask[rows, :width, : start + width], turns[rows], rows, start
                )
                hidden[rows].scatter_(1, order[rows, :width].unsqueeze(-1).expand_as(found), found)

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        """Rows of the prompts and the columns that hold all they have, about `_TOKENS` together.

        Neighbours that are alike in length share little padding: `rank_users` puts them side by side.
        """
        lengths, width = self._lengths.squeeze(1).tolist(), self._real.shape[1]
        padded_left = bool(self._real[:, -1].all())
        start = 0
        while start < len(lengths):
            end, longest = start + 1, lengths[start]
            while end < len(lengths) and (end + 1 - start) * max(longest, lengths[end]) <= _TOKENS:
                longest = max(longest, lengths[end])
                end += 1
            yield slice(start, end), slice(width - longest, width) if padded_left else slice(0, longest)
            start = end

    def _slices(self, tokens: int) -> Iterator[slice]:
        """Rows that hold about `_TOKENS` tokens, at `tokens` a row."""
        step = max(1, _TOKENS // tokens)
        return (slice(start, start + step) for start in range(0, len(self._real), step))

    @torch.autocast("cpu", enabled=False)
    def _first_states(self, embeds: torch.Tensor) -> torch.Tensor:
        """Queries, keys and values of the first layer, [T, (H + 2V) * d], before their turns.

        Prompts and beams repeat their tokens: this product is taken once of each.
        """
        return self._product(self._normed(embeds), self._layers[0].qkv, self._layers[0].bias)

    @torch.autocast("cpu", enabled=False)
    def _read(
        self, embeds: torch.Tensor, words: torch.Tensor, first: torch.Tensor, rows: slice, columns: slice
    ) -> torch.Tensor:
        """Final states of some prompts, whose other columns are padding; `words` int64[b, P] are their rows in the table
        `first` of `_first_states`.
        """
        real, width = self._real[rows, columns], embeds.shape[1]
        self._cache[:, :, rows, :, : columns.start] = 0.0
        self._cache[:, :, rows, :, columns.stop : self._used] = 0.0
        whole = bool(real.all())
        mask = None if whole else prompt_mask(real)
        turns = self._turns[None, :width] if whole else self._turns[position_ids(real)]
        split = self._num_queries * self._dim
        hidden, causal = embeds.clone(), whole
        for index, layer in enumerate(self._layers):
            final = index == len(self._layers) - 1  # of it, keys and values, and the state of one position
            if index == 0:
                queries, kept = functional.embedding(words, first).tensor_split([split], dim=-1)
                if final:
                    queries = last_real(queries, real).unsqueeze(1)
            elif final:
                normed = self._normed(hidden)
                kept = self._product(normed, layer.qkv[:, split:], layer.bias[split:])
                newest = last_real(normed, real).unsqueeze(1)
                queries = self._product(newest, layer.qkv[:, :split], layer.bias[:split])
            else:
                states = self._product(self._normed(hidden), layer.qkv, layer.bias)
                queries, kept = states.tensor_split([split], dim=-1)
            query_turns = turns[..., : split // 2]
            if final:
                hidden = last_real(hidden, real).unsqueeze(1)
                query_turns = self._turns[self._lengths[rows] - 1, : split // 2]
                mask, causal = None if whole else real[:, None, None], False
            self._turned(queries, query_turns)
            self._turned(kept, turns[..., split // 2 :])
            keys, values = (t[:, :, columns] for t in self._keep(kept, index, rows, columns.start))
            mixed = functional.scaled_dot_product_attention(
                self._heads(queries).transpose(1, 2),
                *(keys, values),
                attn_mask=mask,
                is_causal=causal,
                scale=1.0,  # is in the weights
                enable_gqa=True,
            )
            self._finish(layer, hidden, mixed.transpose(1, 2))
        return self._normed(hidden[:, 0]) * self._final

    def _extend(
        self,
        token_ids: torch.Tensor,
        states: torch.Tensor,
        mask: torch.Tensor,
        turns: torch.Tensor,
        rows: slice,
        start: int,
    ) -> torch.Tensor:
        """`extend` for some rows, into the cache's columns from `start` on; `states` [b, W, (H + 2V) * d] are the first
        layer's queries, keys and values, `mask` [b, W, start + W] is added to their weights.
        """
        num_rows, width = token_ids.shape
        hidden = functional.embedding(token_ids, self._embedding)
        split = self._num_queries * self._dim
        for index, layer in enumerate(self._layers):
            if index:
                states = self._product(self._normed(hidden), layer.qkv, layer.bias)
            self._turned(states, turns)
            keys, values = (t.flatten(0, 1) for t in self._keep(states[..., split:], index, rows, start))
            # Query heads that share a key head are more queries of it: no key is repeated.
            queries = self._heads(states[..., :split]).transpose(1, 2).reshape(len(keys), -1, self._dim)
            weights = torch.bmm(queries, keys.transpose(1, 2))
            weights.view(num_rows, -1, width, keys.shape[1]).add_(mask.unsqueeze(1))
            mixed = torch.bmm(weights.softmax(-1), values).view(num_rows, -1, width, self._dim)
            self._finish(layer, hidden, mixed.transpose(1, 2))
        return self._normed(hidden) * self._final

    def _normed(self, hidden: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        return hidden * size.square_().div_(hidden.shape[-1]).add_(self._eps).rsqrt_()

    def _product(self, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """float32 [..., X] of `states` [..., D]."""
        flat = torch.addmm(bias, states.flatten(0, -2).to(weight.dtype), weight).float()
        return flat.view(*states.shape[:-1], -1)

    def _turned(self, states: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        """`states` [b, T, X], with rotary positions on the first 2n dimensions in place; `turns` complex64[b or 1, T or 1, n]."""
        torch.view_as_complex(states.unflatten(-1, (-1, 2)))[..., : turns.shape[-1]].mul_(turns)
        return states

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (-1, self._dim))

    def _keep(self, states: torch.Tensor, layer: int, rows: slice, start: int) -> torch.Tensor:
        """Write keys and values [b, T, 2 * V * d] after `start` others; all so far, [2, b, V, start + T, d]."""
        cache = self._cache[layer, :, rows, :, : start + states.shape[1]]
        cache[:, :, :, start:] = self._heads(states).unflatten(2, (2, -1)).permute(2, 0, 3, 1, 4)
        return cache

    def _finish(self, layer: _Layer, hidden: torch.Tensor, mixed: torch.Tensor) -> None:
        """The rest of a layer after its attention, `mixed` [b, T, H, d], on `hidden` [b, T, D] in place."""
        flat = hidden.view(-1, hidden.shape[-1])
        _add_product(flat, mixed.reshape(len(flat), -1), layer.out)
        gate, up = torch.mm(self._normed(flat).to(layer.gate_up.dtype), layer.gate_up).chunk(2, dim=1)
        _add_product(flat, functional.silu(gate, inplace=True).mul_(up), layer.down)


def _add_product(hidden: torch.Tensor, states: torch.Tensor, weight: torch.Tensor) -> None:
    if weight.dtype == hidden.dtype:
        hidden.addmm_(states, weight)
    else:
        hidden.add_(torch.mm(states.to(weight.dtype), weight))


def _gather(layer: Any, dtype: torch.dtype) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp

    def paired(rows: torch.Tensor) -> torch.Tensor:
        """Rotary dimensions i and i + d / 2 side by side, in queries as in keys: their products are the same."""
        return rows.unflatten(0, (-1, 2, attention.head_dim // 2)).transpose(1, 2).flatten(0, 2)

    def join(name: str) -> torch.Tensor:
        q, k, v = (getattr(linear, name) for linear in (attention.q_proj, attention.k_proj, attention.v_proj))
        return torch.cat([paired(q * attention.scaling), paired(k), v])

    return _Layer(
        (join("weight") * layer.input_layernorm.weight).to(dtype).t(),
        join("bias").to(dtype),
        attention.o_proj.weight.to(dtype).t(),
        (torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * layer.post_attention_layernorm.weight).to(dtype).t(),
        mlp.down_proj.weight.to(dtype).t(),
    )
