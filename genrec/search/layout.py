"""One forward layout for search, scoring and training: a prompt, and candidates as sibling tokens after it.

A prompt's keys and values are computed once. The tokens of its candidates are appended as siblings under a 4-D mask:
each sees the prompt, its own ancestors and itself, and its position id is that of a lone continuation. G candidates
of L levels cost P + G * (L - 1) token-forwards instead of G * (P + L); the last level's token is never an input.
The masks go into the ordinary transformers model, so LoRA and quantised layers work unchanged.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from genrec.search.attention import layer_mask


class PromptBatch(NamedTuple):
    """B prompts padded to P positions, on the left (as `Policy.prompts` does) or on the right.

    What an id stands for is up to the history view.
    """

    input_ids: torch.Tensor  # int64[B, P]
    attention_mask: torch.Tensor  # int64[B, P], 0 at padding
    histories: torch.Tensor  # int64[B, H], the items themselves, newest first, padded with -1
    following: torch.Tensor | None = None  # int64[B, F], what came next in a training sequence, padded with -1
    padded_left: bool | None = None  # None: not known without asking the device


def on_device(
    device: torch.device, ids: np.ndarray, mask: np.ndarray, histories: np.ndarray, following: np.ndarray | None
) -> PromptBatch:
    """A batch of prompts padded on the left, sent to a device without waiting for it."""
    first, second, third = (torch.from_numpy(array).to(device, non_blocking=True) for array in (ids, mask, histories))
    after = None if following is None else torch.from_numpy(following).to(device, non_blocking=True)
    return PromptBatch(first, second, third, after, padded_left=True)


def left_padded(
    flat: np.ndarray, lengths: np.ndarray, opening: np.ndarray, padding: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `lengths` ids out of `flat`, each after the ids `opening`, padded on the left: ids and mask, int64[B, P]."""
    width = len(opening) + int(lengths.max(initial=0))
    starts = width - lengths[:, None]
    columns = np.arange(width)[None, :]
    mask = columns >= starts - len(opening)
    ids = np.full((len(lengths), width), padding, dtype=np.int64)
    ids[columns >= starts] = flat
    ids[mask & (columns < starts)] = np.tile(opening, len(lengths))
    return ids, mask.astype(np.int64)


def newest_first(histories: list[np.ndarray]) -> np.ndarray:
    """Item numbers int64[B, H] of ragged histories (oldest first), newest first and padded with -1."""
    lengths = np.array([len(h) for h in histories], dtype=np.int64)
    table = np.full((len(histories), int(lengths.max(initial=0))), -1, dtype=np.int64)
    inside = np.arange(table.shape[1]) < lengths[:, None]
    table[inside] = np.concatenate([h[::-1] for h in histories]) if histories else 0
    return table


def position_ids(attention_mask: torch.Tensor) -> torch.Tensor:
    """int64[B, P]: 0 at a row's first real token, whatever the padding."""
    return (attention_mask.cumsum(1) - 1).clamp_min(0)


def prompt_mask(attention_mask: torch.Tensor) -> torch.Tensor:
    """bool[B, 1, P, P]: causal among real tokens; padding sees itself, so that no row of a softmax is empty."""
    width = attention_mask.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=attention_mask.device).tril()
    itself = torch.eye(width, dtype=torch.bool, device=attention_mask.device)
    return ((causal & attention_mask.bool()[:, None, :]) | itself)[:, None]


def last_real(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """[B, D]: the state of each prompt's last real position; `hidden` may extend beyond the prompt."""
    last = (attention_mask * torch.arange(attention_mask.shape[1], device=attention_mask.device)).argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


class _LayerCache:
    """Keys and values of one layer, as a layer of transformers updates them.

    One for each layer instead of one for all: a compiled layer then knows no number of its own, and one compilation
    serves all layers.
    """

    def __init__(self) -> None:
        self.keys: torch.Tensor | None = None  # [B, V, T, d]
        self.values: torch.Tensor | None = None

    def update(self, keys: torch.Tensor, values: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Append; returns all there are."""
        if self.keys is None or self.values is None:  # contiguous from the start, as cat leaves them: one compilation
            self.keys, self.values = keys.contiguous(), values.contiguous()
        else:
            self.keys, self.values = torch.cat([self.keys, keys], dim=2), torch.cat([self.values, values], dim=2)
        return self.keys, self.values


class _Body:
    """The layers of a transformer one by one, each with a cache of its own; for prompts padded on the left."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self._caches = [_LayerCache() for _ in body.layers]

    def read(self, embeds: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The final states [B, D] of the prompts' last positions, and nothing that is not used: the last layer gives
        keys and values of the prompt, and one state a row. With two layers it saves nearly half of the prompt's work.
        """
        body, places, mask = self._body, position_ids(attention_mask), prompt_mask(attention_mask)
        cos, sin = body.rotary_emb(embeds, places)
        hidden = self._run(body.layers[:-1], embeds, layer_mask(body, mask, embeds.dtype), places, (cos, sin))
        last, cache = body.layers[-1], self._caches[-1]
        if hidden.shape[1] > 1:
            attention = last.self_attn
            before = last.input_layernorm(hidden[:, :-1])
            shape = (*before.shape[:-1], -1, attention.head_dim)
            keys, values = (
                project(before).view(shape).transpose(1, 2) for project in (attention.k_proj, attention.v_proj)
            )
            _, keys = apply_rotary_pos_emb(keys, keys, cos[:, :-1], sin[:, :-1])
            cache.update(keys, values)
        turns = (cos[:, -1:], sin[:, -1:])
        # Its `forward` itself: for one position a row a layer is not worth a compilation.
        mask = layer_mask(body, mask[:, :, -1:], embeds.dtype)
        state = _layer(last.forward, hidden[:, -1:], mask, places[:, -1:], turns, cache)
        return body.norm(state)[:, 0]

    def append(self, token_ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Hidden states [B, W, D] of W tokens more; `mask` bool[B, 1, W, T] over all positions so far."""
        body = self._body
        embeds = body.get_input_embeddings()(token_ids)
        mask = layer_mask(body, mask, embeds.dtype)
        return body.norm(self._run(body.layers, embeds, mask, places, body.rotary_emb(embeds, places)))

    def _run(self, layers: Any, hidden: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, turns: Any) -> Any:
        for layer, cache in zip(layers, self._caches, strict=False):
            hidden = _layer(layer, hidden, mask, places, turns, cache)
        return hidden


def _layer(
    layer: Any, hidden: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, turns: Any, cache: _LayerCache
) -> torch.Tensor:
    given = {"position_embeddings": turns, "position_ids": places, "past_key_values": cache}
    return layer(hidden, attention_mask=mask, use_cache=True, **given)


class _AnyBody:
    """The same of a transformer as it is, for prompts padded on the right."""

    def __init__(self, body: Any) -> None:
        self._body, self._cache = body, DynamicCache()

    def read(self, embeds: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self._body(
            inputs_embeds=embeds,
            attention_mask=layer_mask(self._body, prompt_mask(attention_mask), embeds.dtype),
            position_ids=position_ids(attention_mask),
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        return last_real(hidden, attention_mask)

    def append(self, token_ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return self._body(
            input_ids=token_ids,
            attention_mask=layer_mask(self._body, mask, self._body.dtype),
            position_ids=places,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state


class Siblings:
    """A prompt batch under search: its keys and values, computed once, and the sibling tokens appended so far."""

    def __init__(
        self,
        body: nn.Module,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        padded_left: bool | None = None,
    ) -> None:
        """Run prompts of embeddings [B, P, D]. `last_hidden`, [B, D], is the final state of each prompt's last position.

        Without `padded_left` a device is waited for, to see whether they are.
        """
        self._prompt_mask = attention_mask.bool()
        self._lengths = attention_mask.sum(1, keepdim=True)
        self._ancestors = self._lengths.new_empty(len(self._lengths), 1, 0)  # columns of the sibling block
        self._num_siblings = 0
        if padded_left is None:
            padded_left = bool(attention_mask[:, -1].all())
        self._body = _Body(body) if padded_left else _AnyBody(body)
        self.last_hidden = self._body.read(embeds, attention_mask)

    def extend(
        self, token_ids: torch.Tensor, parents: torch.Tensor, needed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Append one token to each of W beams; hidden states [B, W, D].

        `token_ids` int64[B, W]; `parents` int64[B, W] are the beams of the step before that these continue. Where
        `needed` bool[B, W] is not set, nobody reads the state of a beam or of what continues it: it may be anything finite.
        Here they are computed all the same, for shapes that a device need not be asked for.
        """
        num_rows, width = token_ids.shape
        ancestors = self._gather_ancestors(parents)
        depth = ancestors.shape[2]
        mask = torch.zeros(num_rows, width, self._num_siblings + width, dtype=torch.bool, device=token_ids.device)
        mask.scatter_(2, ancestors, True)
        itself = self._num_siblings + torch.arange(width, device=token_ids.device)
        own = itself[None, :, None].expand(num_rows, -1, 1)
        mask.scatter_(2, own, True)
        prompt = self._prompt_mask[:, None, :].expand(-1, width, -1)
        places = (self._lengths + depth).expand(-1, width)
        hidden = self._body.append(token_ids, torch.cat([prompt, mask], dim=2)[:, None], places)
        self._ancestors = torch.cat([ancestors, own], dim=2)
        self._num_siblings += width
        return hidden

    def _gather_ancestors(self, parents: torch.Tensor) -> torch.Tensor:
        return self._ancestors.gather(1, parents.unsqueeze(-1).expand(-1, -1, self._ancestors.shape[2]))


def candidate_hidden(
    body: nn.Module, embeds: torch.Tensor, attention_mask: torch.Tensor, token_ids: torch.Tensor
) -> torch.Tensor:
    """Hidden states, [B, G, L, D], that predict each token of G candidates, in one differentiable forward.

    Prompts are embeddings [B, P, D]; `token_ids` int64[B, G, L]. Level 0 is predicted by the prompt's last position,
    shared by all candidates; level l by the candidate's token of level l - 1. The tokens follow level by level after
    the prompt.
    """
    num_rows, group, num_levels = token_ids.shape
    width, device = embeds.shape[1], token_ids.device
    depth = num_levels - 1
    tokens = token_ids[:, :, :depth].transpose(1, 2).reshape(num_rows, -1)
    inputs = torch.cat([embeds, body.get_input_embeddings()(tokens)], dim=1)  # type: ignore[operator]
    candidate = torch.arange(group, device=device).repeat(depth)
    level = torch.arange(depth, device=device).repeat_interleave(group)
    own_branch = (candidate[:, None] == candidate[None, :]) & (level[:, None] >= level[None, :])
    mask = torch.zeros(num_rows, 1, *[width + depth * group] * 2, dtype=torch.bool, device=device)
    mask[:, :, :width, :width] = prompt_mask(attention_mask)
    mask[:, :, width:, :width] = attention_mask.bool()[:, None, None, :]
    mask[:, :, width:, width:] = own_branch
    positions = torch.cat([position_ids(attention_mask), attention_mask.sum(1, keepdim=True) + level], dim=1)
    hidden = _states(body, inputs, mask, positions)
    first = last_real(hidden, attention_mask)[:, None, None].expand(-1, group, -1, -1)
    if not depth:
        return first
    rest = hidden[:, width:].reshape(num_rows, depth, group, -1).transpose(1, 2)
    return torch.cat([first, rest], dim=2)


def branched_hidden(body: nn.Module, history: torch.Tensor, siblings: torch.Tensor) -> torch.Tensor:
    """Hidden states, [B, M, L, D], for M targets a row, each with a branch of its own after its part of a history.

    `history` [B, O + M - 1, D] holds O opening positions and the first M - 1 items; `siblings` [B, M, L - 1, D] the
    tokens of the targets, all but the last. Target t sees the opening, items 0..t-1 and its own tokens, at the
    positions of a prompt of that length. Padding on the right is seen by nothing real, so one mask serves all rows.
    """
    num_rows, num_items, depth, dim = siblings.shape
    inputs = torch.cat([history, siblings.reshape(num_rows, -1, dim)], dim=1)
    place = torch.arange(history.shape[1], device=inputs.device)
    lead = history.shape[1] - num_items
    end = torch.cat([place, place[lead:].repeat_interleave(depth)])  # the last history position that is seen
    level = torch.cat([torch.zeros_like(place), torch.arange(1, depth + 1, device=inputs.device).repeat(num_items)])
    in_history = (level == 0)[None, :] & (end[None, :] <= end[:, None])
    own_branch = (end[:, None] == end[None, :]) & (level[None, :] > 0) & (level[None, :] <= level[:, None])
    mask = (in_history | own_branch)[None, None].expand(num_rows, 1, -1, -1)
    hidden = _states(body, inputs, mask, (end + level)[None])
    first = hidden[:, lead : len(place), None]
    return torch.cat([first, hidden[:, len(place) :].reshape(num_rows, num_items, depth, -1)], dim=2)


def _states(body: nn.Module, embeds: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """The final states of inputs [B, T, D] under a mask bool[B, 1, T, T]."""
    mask = layer_mask(body, mask, embeds.dtype)
    return body(inputs_embeds=embeds, attention_mask=mask, position_ids=places, use_cache=False).last_hidden_state


def sequence_hidden(body: nn.Module, token_ids: torch.Tensor, opening: torch.Tensor) -> torch.Tensor:
    """Hidden states, [B, M, L, D], that predict every token of whole histories in one pass.

    `token_ids` int64[B, M, L] are the items' tokens, oldest first, padded on the right with any valid token: under
    plain causal attention nothing real can see the padding, so no mask is needed. After the tokens `opening` int64[O]
    the positions are those of `position_ids`.
    """
    num_rows, num_items, num_levels = token_ids.shape
    inputs = torch.cat([opening.expand(num_rows, -1), token_ids.reshape(num_rows, -1)[:, :-1]], dim=1)
    hidden = body(input_ids=inputs, use_cache=False).last_hidden_state[:, len(opening) - 1 :]
    return hidden.reshape(num_rows, num_items, num_levels, -1)
