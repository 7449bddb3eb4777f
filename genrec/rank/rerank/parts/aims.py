"""The aims of a list as columns that can be weighted against each other."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Floats, Lists
from genrec.rank.rerank.parts.similarity import greatest_to_those_before

RELEVANCE, DIVERSITY = "relevance", "diversity"
_TINY = 1e-6  # a spread that is rounding, relative to the size of the values


def names_of(lists: Lists) -> tuple[str, ...]:
    """relevance (the score so far), the aims of the lists by name, diversity."""
    return (RELEVANCE, *sorted(lists.aims), DIVERSITY)


def columns(lists: Lists, names: Sequence[str]) -> tuple[Floats, Counter[str]]:
    """Every aim standardised within each list, float32 [U, C, A], and counted warnings.

    Mean 0 and standard deviation 1 over the candidates of a list. 0, the mean, stands for a value that is missing, for an
    aim that all candidates of a list share, and for columns without an item. Warnings: `missing NAME` by candidate,
    `no aim NAME` by list where the lists have none of it. `diversity` is 1 - the greatest similarity to a candidate that
    stands before it.
    """
    present, warnings, found = lists.present, Counter[str](), dict[int, Floats]()
    result = np.zeros((*lists.item.shape, len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        if name == RELEVANCE:
            found[place] = lists.score
        elif name == DIVERSITY:
            found[place] = 1 - greatest_to_those_before(lists)
        elif name in lists.aims:
            found[place] = lists.aims[name]
        else:
            warnings[f"no aim {name}"] += len(lists)
    if not found:
        return result, warnings
    values = np.stack([*found.values()])  # [A', U, C]
    known = np.isfinite(values)
    known &= present
    for place, number in zip(found, known.sum(axis=(1, 2)).tolist(), strict=True):
        if missing := int(present.sum()) - number:
            warnings[f"missing {names[place]}"] += missing
    result[:, :, [*found]] = np.moveaxis(standardised(values, known), 0, -1)
    return result, warnings


def standardised(values: NDArray[np.floating], known: NDArray[np.bool_]) -> Floats:
    """(value - mean) / standard deviation over what is known of each row [..., C]; 0 for the rest and where all are equal."""
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    filled = np.where(known, values, 0).astype(np.float64)
    mean = filled.sum(axis=-1, keepdims=True) / count
    centred = np.where(known, filled - mean, 0)
    spread = np.sqrt((centred**2).sum(axis=-1, keepdims=True) / count)
    varies = spread > _TINY * np.maximum(np.abs(filled).max(axis=-1, keepdims=True, initial=0), 1e-30)
    return np.where(varies, centred / np.where(varies, spread, 1), 0).astype(np.float32)
