"""What keeps counts over pairs small in large data: the settings that channels share, and how they are applied.

A user with n events is in n * n pairs of items, an item with n users in n * n pairs of users, and the similarities of a
large catalogue are far more than anyone reads. So users count by their newest events (the interaction cut of Schelter,
Boden and Markl, "Scalable similarity-based neighborhood methods with MapReduce", RecSys 2012, section 3.2: a few hundred
lose nothing), items by a sample of their users, and each item keeps its most similar ones (the model size of Sarwar et
al., WWW 2001, section 3.3). The defaults change nothing in data that are not large.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from genrec.recall.parts.scorer import History
from genrec.recall.parts.sparse import keep_largest
from genrec.variants import setting

LARGE = 20_000  # items of a catalogue above which an item keeps its most similar ones alone
_KEPT = 200
_SEED = 0


def max_user_items(default: int) -> int:
    """The setting of `newest`."""
    return setting(default, "Newest training events of a user that count in similarities; 0: all.", later=True, ge=0)


def max_item_users(default: int) -> int:
    """The setting of `thinned`."""
    return setting(
        default,
        "Users of an item that are looked at for users alike, a fixed random sample where there are more; 0: all.",
        later=True,
        ge=0,
    )


def neighbours() -> int:
    """The setting of `most_neighbours`."""
    return setting(
        0,
        f"Items that an item keeps, those with the largest weight; 0: all in a catalogue of up to {LARGE:,} items, "
        f"{_KEPT} in a larger one.",
        later=True,
        ge=0,
    )


def newest(sequences: Sequence[History], most: int) -> Sequence[History]:
    """The `most` newest events of each sequence (oldest first); 0: all."""
    return [sequence[-most:] for sequence in sequences] if most else sequences


def thinned(matrix: sp.csr_array, most: int) -> sp.csr_array:
    """At most `most` entries of each row, a fixed random sample of them; 0: all."""
    lengths = np.diff(matrix.indptr)
    if not most or not len(lengths) or lengths.max() <= most:
        return matrix
    generator = np.random.default_rng(_SEED)
    kept = np.ones(matrix.nnz, dtype=bool)
    for row in np.flatnonzero(lengths > most).tolist():
        start, length = matrix.indptr[row], lengths[row]
        chosen = np.zeros(length, dtype=bool)
        chosen[generator.choice(length, most, replace=False)] = True
        kept[start : start + length] = chosen
    before = np.concatenate([[0], np.cumsum(kept)])
    return sp.csr_array((matrix.data[kept], matrix.indices[kept], before[matrix.indptr]), shape=matrix.shape)


def num_kept(num_items: int, wanted: int) -> int:
    """Entries of a row that stay in a square matrix of a catalogue; all of them where it is small and none is `wanted`."""
    return wanted or (num_items if num_items <= LARGE else _KEPT)


def most_neighbours(matrix: sp.csr_array, wanted: int) -> sp.csr_array:
    """The largest entries of each row of an item-item matrix: `wanted`, or by the size of the catalogue (`num_kept`)."""
    return keep_largest(matrix, num_kept(matrix.shape[0], wanted))
