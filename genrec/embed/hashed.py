"""Latent semantic analysis of a large catalogue in bounded memory: hashed terms, a randomized SVD, texts block by block.

A vocabulary of all word pairs of millions of texts would take tens of gigabytes before it could be cut down, and an exact
SVD wants the whole matrix. Here a term is the number of its bucket (Weinberger et al., Feature Hashing for Large Scale
Multitask Learning, ICML 2009), the most frequent buckets are kept as the most frequent terms are in the exact way, and the
leading right singular vectors come from subspace iteration on the products of blocks (Halko, Martinsson and Tropp,
Finding Structure with Randomness, SIAM Review 2011, algorithm 4.4). Only [terms, dimensions] and the counts of the texts
it is fitted on are held; any number of texts is then folded in.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from genrec.embed.terms import terms
from genrec.progress import Progress, silent

NUM_BUCKETS = 1 << 22
_BLOCK_TEXTS = 8192
_OVERSAMPLING = 16
_PASSES = 6


@dataclasses.dataclass(frozen=True)
class HashedModel:
    """A fitted encoder. Texts are folded in one block after the other.

    Args:
        buckets: int32 [T], the buckets of terms that count; ascending.
        idf: float32 [T], inverse document frequencies of the texts it was fitted on.
        components: float32 [d, T], leading right singular vectors.
        max_ngram: longest term, in words.
    """

    buckets: NDArray[np.int32]
    idf: NDArray[np.float32]
    components: NDArray[np.float32]
    max_ngram: int

    def encode(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """float32 [len(texts), d], rows of unit length; a text without any kept term is a zero row."""
        from sklearn.preprocessing import normalize

        column, directions = _columns(self.buckets), np.ascontiguousarray(self.components.T)
        blocks = (_weighted(counts, column, self.idf) @ directions for counts in _counted(texts, self.max_ngram))
        vectors = [normalize(block, copy=False) for block in blocks]
        empty = np.zeros((0, len(self.components)), dtype=np.float32)
        return np.concatenate([empty, *vectors]).astype(np.float32, copy=False)

    def save(self, tensors: Path, meta: Path) -> None:
        """Write the two files of a saved encoder."""
        arrays = {"buckets": self.buckets, "idf": self.idf, "components": np.ascontiguousarray(self.components)}
        save_file(arrays, tensors)
        meta.write_text(json.dumps({"max_ngram": self.max_ngram, "num_buckets": NUM_BUCKETS}) + "\n", encoding="utf-8")

    @classmethod
    def of(cls, tensors: dict[str, np.ndarray], meta: dict[str, Any]) -> HashedModel:
        """From what `save` wrote. Raises ValueError where it was hashed otherwise, KeyError where something is missing."""
        if meta["num_buckets"] != NUM_BUCKETS:
            raise ValueError(f"terms in {meta['num_buckets']} buckets, not {NUM_BUCKETS}")
        return cls(tensors["buckets"], tensors["idf"], tensors["components"], meta["max_ngram"])


def fit(
    texts: Iterable[str],
    num_texts: int,
    *,
    dim: int,
    max_ngram: int,
    min_texts: int,
    max_terms: int,
    seed: int,
    progress: Progress = silent,
) -> HashedModel:
    """The model of `num_texts` texts, which are read once.

    Args:
        texts: the texts.
        num_texts: how many there are.
        dim: dimensions of a vector, at most.
        max_ngram, min_texts, max_terms: of the terms, as in the settings of the LSA encoder.
        seed: of the directions that the SVD starts from.
        progress: in passes over the texts; counting is the first one.
    """
    passes = _PASSES + 2
    blocks, frequency = [], np.zeros(NUM_BUCKETS, dtype=np.int64)
    done = 0
    for counts in _counted(texts, max_ngram):
        frequency += np.bincount(counts.indices, minlength=NUM_BUCKETS)
        blocks.append(counts)
        done += counts.shape[0]
        progress(done / num_texts, passes, "counting terms")
    buckets = _kept(frequency, min_texts, max_terms)
    idf = (np.log((1 + num_texts) / (1 + frequency[buckets])) + 1).astype(np.float32)  # as scikit-learn's smooth_idf
    column = _columns(buckets)
    for i, counts in enumerate(blocks):  # one after the other, so that both forms are never held of all
        blocks[i] = _weighted(counts, column, idf)
    components = _singular_vectors(blocks, len(buckets), dim, seed, progress)
    return HashedModel(buckets, idf, components, max_ngram)


def _counted(texts: Iterable[str], max_ngram: int) -> Iterator[Any]:
    """float32 CSR [n, NUM_BUCKETS]: how often each bucket's terms are in each text of a block."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer=lambda text: terms(text, max_ngram),
        n_features=NUM_BUCKETS,
        norm=None,
        alternate_sign=False,
        dtype=np.float32,
    )
    source = iter(texts)
    while block := list(itertools.islice(source, _BLOCK_TEXTS)):
        yield vectorizer.transform(block)


def _kept(frequency: NDArray[np.int64], min_texts: int, max_terms: int) -> NDArray[np.int32]:
    """The most frequent buckets, ascending: those in `min_texts` texts, or any where there are none; never empty."""
    kept = np.flatnonzero(frequency >= min_texts)
    if not len(kept):
        kept = np.flatnonzero(frequency)
    if len(kept) > max_terms:
        kept = kept[np.argsort(-frequency[kept], kind="stable")[:max_terms]]
    return np.sort(kept).astype(np.int32) if len(kept) else np.zeros(1, dtype=np.int32)


def _columns(buckets: NDArray[np.int32]) -> NDArray[np.int32]:
    """int32 [NUM_BUCKETS]: the column of each kept bucket, -1 for the others."""
    column = np.full(NUM_BUCKETS, -1, dtype=np.int32)
    column[buckets] = np.arange(len(buckets), dtype=np.int32)
    return column


def _weighted(counts: Any, column: NDArray[np.int32], idf: NDArray[np.float32]) -> Any:
    """float32 CSR [n, T] of TF-IDF weights (sublinear), rows of unit length, of the counts in kept buckets."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    place = column[counts.indices]
    kept = place >= 0
    starts = np.concatenate([[0], np.cumsum(kept)])[counts.indptr].astype(np.int32)
    place = place[kept]
    weights = (np.log(counts.data[kept]) + 1) * idf[place]
    matrix = csr_matrix((weights, place, starts), shape=(counts.shape[0], len(idf)))
    return normalize(matrix, copy=False)


def _singular_vectors(
    blocks: list[Any], num_terms: int, dim: int, seed: int, progress: Progress
) -> NDArray[np.float32]:
    """float32 [d, num_terms]: the leading right singular vectors of the matrix whose rows are those of all blocks."""
    from scipy.linalg import qr

    width = min(dim + _OVERSAMPLING, num_terms)
    basis = np.random.default_rng(seed).standard_normal((num_terms, width), dtype=np.float32)
    for number in range(_PASSES):
        progress(1 + number, _PASSES + 2, "singular value decomposition", terms=num_terms)
        product = np.zeros_like(basis)
        for block in blocks:
            product += block.T @ (block @ basis)
        basis = qr(product, mode="economic", overwrite_a=True, check_finite=False)[0]  # in float32, unlike numpy's
    progress(1 + _PASSES, _PASSES + 2, "singular value decomposition", terms=num_terms)
    gram = np.zeros((width, width))
    for block in blocks:
        projected = (block @ basis).astype(np.float64)
        gram += projected.T @ projected
    _, rotation = np.linalg.eigh(gram)  # eigenvalues ascending
    components = (basis @ rotation[:, ::-1][:, :dim].astype(np.float32)).T
    # The sign of a singular vector is free: its largest entry is made positive.
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    progress(2 + _PASSES, _PASSES + 2)
    return np.ascontiguousarray(components * np.where(largest < 0, -1, 1)[:, None].astype(np.float32))
