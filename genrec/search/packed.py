"""Histories of unequal length in one forward without padding: one row, in which each sees itself alone."""

from typing import Any

import numpy as np
import torch

from genrec.search.attention import NAME, Sequences


def can_pack(body: Any) -> bool:
    """Whether the body's layers attend in a way that keeps packed sequences apart (`genrec.search.attention`)."""
    return body.config._attn_implementation == NAME


def packed_hidden(body: Any, token_ids: torch.Tensor, lengths: np.ndarray, opening: torch.Tensor) -> torch.Tensor:
    """Hidden states, [N, L, D], that predict every token of B histories, as `layout.sequence_hidden` has them.

    `token_ids` int64[N, L] are the items' tokens, one history after the other, oldest first; `lengths` int64[B], none 0, their
    numbers of items, N in all. Every history follows the tokens `opening` int64[O], at positions of its own. The last
    token of each is never an input.
    """
    num_levels, device = token_ids.shape[1], token_ids.device
    lead = len(opening)
    widths = lead - 1 + lengths * num_levels
    offsets = np.concatenate([[0], np.cumsum(widths)])
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], widths)
    first_item = np.cumsum(lengths) - lengths
    first_token = lead + np.repeat(first_item, widths) * num_levels
    source = np.where(place < lead, place, first_token + place - lead)
    within = np.arange(lengths.sum()) - np.repeat(first_item, lengths)
    before = np.repeat(offsets[:-1], lengths) + lead - 1 + within * num_levels  # what predicts an item's first token
    chosen = before[:, None] + np.arange(num_levels)
    source_, place_, chosen_, ends = (
        torch.from_numpy(array).to(device, non_blocking=True)
        for array in (source, place[None], chosen, offsets.astype(np.int32))
    )
    ids = torch.cat([opening, token_ids.flatten()])[source_]
    sequences = Sequences(ends, int(widths.max()))
    return _states(body, ids[None], place_, sequences)[0][chosen_]


def _states(body: Any, ids: torch.Tensor, places: torch.Tensor, sequences: Sequences) -> torch.Tensor:
    """The final states [1, T, D], layer by layer: the body itself would make a mask of T x T."""
    hidden = body.get_input_embeddings()(ids)
    turns = body.rotary_emb(hidden, places)
    for layer in body.layers:
        hidden = layer(
            hidden,
            attention_mask=None,
            position_embeddings=turns,
            position_ids=places,
            past_key_values=None,
            use_cache=False,
            sequences=sequences,
        )
    return body.norm(hidden)
