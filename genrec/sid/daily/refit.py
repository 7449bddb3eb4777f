"""A second fit: how many ids a retraining changes, and what error to expect of items a tokenizer has not seen."""

from collections.abc import Callable
from typing import Any

import numpy as np

from genrec.sid.daily.churn import churn
from genrec.sid.daily.new_items import give_ids, held_out_statistics
from genrec.sid.fusion import Fusion
from genrec.sid.quantize.tokenizer import Tokenizer
from genrec.sid.unique import make_unique

MIN_ITEMS = 20
_HELD_OUT_SHARE = 0.1


def second_fit(
    fit: Callable[[np.ndarray, int], Tokenizer],
    vectors: np.ndarray,
    text: np.ndarray,
    fusion: Fusion | None,
    final: np.ndarray,
    how: str,
    seed: int,
) -> dict[str, Any]:
    """Fit once more, with another seed and without a tenth of the items; {} for fewer than 20 items.

    Args:
        fit: (vectors, seed) -> tokenizer.
        vectors: float32 [N, d'], what the tokenizer was fitted on.
        text: float32 [N, d], the same items' text vectors.
        fusion: the map from one to the other for items without training events, or None where they are the same.
        final: int [N, T], the ids of the first fit.
        how: `sid.deduplicate`.
        seed: of the first fit.

    Returns:
        churn: changes of the ids of the nine tenths (`genrec.sid.daily.churn.churn`); held_out: errors and moves of the
        tenth, which gets its ids as new items do (`genrec.sid.daily.new_items.held_out_statistics`).
    """
    if len(vectors) < MIN_ITEMS:
        return {}
    order = np.random.default_rng(seed).permutation(len(vectors))
    cut = int(_HELD_OUT_SHARE * len(order))
    out, kept = np.sort(order[:cut]), np.sort(order[cut:])
    tokenizer = fit(vectors[kept], seed + 1)
    raw = tokenizer.encode_catalogue(vectors[kept])
    again = make_unique(raw, tokenizer.project(vectors[kept]), tokenizer.codebooks, how)
    unseen = text[out] if fusion is None else fusion.fuse(text[out])
    return {
        "churn": churn(final[kept], again),
        "held_out": held_out_statistics(give_ids(tokenizer, unseen, again, how)),
    }
