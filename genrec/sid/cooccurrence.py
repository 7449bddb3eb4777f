"""Which items occur together in the training sequences: counts within a window, and their PPMI embedding.

Source: PPMI and its truncated SVD as item embedding, with smoothed contexts (exponent 0.75) and the square root of
the singular values: Levy, Goldberg & Dagan, Improving Distributional Similarity with Lessons Learned from Word
Embeddings (TACL 2015, sections 2 and 3). Pairs count 1 / distance, as in GloVe (EMNLP 2014, section 4.2).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genrec.errors import DataError
from genrec.tables import read_table
from genrec.transitions import weighted_pairs

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def cooccurrence_counts(train_path: Path, num_items: int, window: int) -> csr_array:
    """float64 [num_items, num_items], symmetric, diagonal zero: sum of 1 / distance over pairs of events in a window.

    Args:
        train_path: train.parquet of the prepare stage; validation and test events are in none of its rows.
        num_items: size of the catalogue.
        window: largest distance of two events of a sequence that counts.

    Raises:
        DataError: an item number outside the catalogue.
    """
    from scipy import sparse

    column = read_table(train_path, columns=["items"])["items"].combine_chunks()
    items = column.flatten().to_numpy().astype(np.int64)
    if len(items) and (items.min() < 0 or items.max() >= num_items):
        raise DataError(f"{train_path}: item {int(items.max())} in a catalogue of {num_items}; prepare the data again")
    sequence = np.repeat(np.arange(len(column)), np.diff(column.offsets.to_numpy()))
    rows, columns, weights = [], [], []
    for weight, earlier, later in weighted_pairs(items, sequence, min(window, max(len(items) - 1, 0))):
        different = earlier != later
        rows.append(earlier[different])
        columns.append(later[different])
        weights.append(np.full(len(rows[-1]), weight))
    if not rows:
        return sparse.csr_array((num_items, num_items), dtype=np.float64)
    data = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    counts = sparse.coo_array(data, shape=(num_items, num_items)).tocsr()
    return (counts + counts.T).tocsr()


def ppmi(counts: csr_array, smoothing: float) -> csr_array:
    """Positive pointwise mutual information: max(0, log(p(i, j) / (p(i) p_s(j)))), p_s proportional to count ** s.

    Neither scikit-learn, scipy nor gensim computes it on a sparse matrix of counts.
    """
    from scipy import sparse

    pairs = counts.tocoo()
    if not pairs.nnz:
        return counts
    totals = np.asarray(counts.sum(axis=1)).reshape(-1)
    contexts = totals**smoothing
    information = np.log(
        pairs.data * contexts.sum() / (totals[pairs.coords[0]] * contexts[pairs.coords[1]]),
    )
    kept = information > 0
    places = (pairs.coords[0][kept], pairs.coords[1][kept])
    return sparse.coo_array((information[kept], places), shape=counts.shape).tocsr()


def ppmi_embedding(counts: csr_array, dim: int, smoothing: float) -> np.ndarray:
    """float32 [num_items, <= dim]: left singular vectors of the PPMI matrix times the root of their singular values.

    Rows of items that occur with no other are zero. Fewer columns where the matrix has a lower rank or is small.
    """
    from scipy.sparse.linalg import svds
    from sklearn.utils.extmath import svd_flip

    matrix = ppmi(counts, smoothing)
    if not matrix.nnz:
        return np.zeros((counts.shape[0], 1), dtype=np.float32)
    if dim >= min(matrix.shape) - 1:
        left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
    else:
        start = np.random.default_rng(0).normal(size=min(matrix.shape))
        left, values, _ = svds(matrix, k=dim, v0=start)
        order = np.argsort(-values, kind="stable")
        left, values = left[:, order], values[order]
    kept = (values > 1e-6 * values[0])[:dim]
    left, values = left[:, : len(kept)][:, kept], values[: len(kept)][kept]
    # The sign of a singular vector is free: its largest entry is made positive.
    vectors = svd_flip(left, None)[0] * np.sqrt(values)
    vectors[np.asarray(counts.sum(axis=1)).reshape(-1) == 0] = 0
    return vectors.astype(np.float32)
