"""How close the text of a candidate is to those of the history, by the embed stage's vectors."""

from collections.abc import Sequence

import numpy as np

from genrec.rank.candidates import Candidates
from genrec.rank.features.parts.context import Columns, Context, empty
from genrec.recall.parts.scorer import unit_rows

_DECAY = 0.7  # weight of a history item of age a in its mean is _DECAY ** a

_NAMES = {
    "text_last": "cosine of the text vectors of the item and the last one, -1..1",
    "text_second": "the same with the item before the last, -1..1",
    "text_nearest": "largest such cosine over the history, -1..1",
    "text_nearest_age": "place of the nearest history item, events from the newest, from 0",
    "text_mean": "cosine with the mean of the history's vectors, an item of age a counting 0.7 ** a, -1..1",
}


def names(channels: Sequence[str], num_levels: int) -> dict[str, str]:
    """The columns with their meaning and unit."""
    return _NAMES


def columns(context: Context, candidates: Candidates) -> Columns:
    """float32, a row a candidate; missing where an item has no text."""
    found, vectors, has_text = empty(candidates, [*_NAMES]), context.tables.vectors, context.tables.has_text
    for block in context.blocks(candidates, width=vectors.shape[1]):
        length = block.history.shape[1]
        if not length:
            continue
        items, history = vectors[block.items], vectors[block.history]
        both = has_text[block.items][..., None] & has_text[block.history][:, None, :]
        closeness = items @ history.transpose(0, 2, 1)  # [u, C, H]
        weight = np.float32(_DECAY) ** np.arange(length, dtype=np.float32)
        mean = unit_rows((history * weight[:, None]).sum(axis=1))
        to_mean = (items @ mean[:, :, None])[..., 0]
        if both.all():
            nearest = closeness.argmax(axis=-1)
        else:
            closeness, any_text = np.where(both, closeness, np.float32(np.nan)), both.any(axis=-1)
            nearest = np.where(any_text, np.where(both, closeness, -np.inf).argmax(axis=-1), np.nan)
            to_mean = np.where(any_text, to_mean, np.nan)
        block.put(found["text_last"], closeness[..., 0])
        if length > 1:
            block.put(found["text_second"], closeness[..., 1])
        block.put(found["text_nearest"], np.fmax.reduce(np.ascontiguousarray(np.moveaxis(closeness, -1, 0))))
        block.put(found["text_nearest_age"], nearest)
        block.put(found["text_mean"], to_mean)
    return found
