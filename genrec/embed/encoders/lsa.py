"""Latent semantic analysis: TF-IDF of words and word pairs, cut down by a truncated SVD. No downloads, no GPU.

Source: Deerwester et al., Indexing by Latent Semantic Analysis (JASIS 1990). The SVD is scikit-learn's with ARPACK:
on catalogues it is both closer and faster than the randomised one. A catalogue of more than `hashed_above` distinct texts
goes another way, of bounded memory (`genrec.embed.hashed`): a model is fitted on a sample and all texts are folded in,
as Dumais did with the large collections of TREC (Latent Semantic Indexing: TREC-3 Report, 1995).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.embed.hashed import HashedModel
from genrec.embed.hashed import fit as fit_hashed
from genrec.embed.terms import terms
from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.variants import setting

SHARDABLE = False  # unless a model is fitted before: document frequencies and the SVD belong to the whole catalogue

MODEL_FILE = "encoder.safetensors"
TERMS_FILE = "encoder.json"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the LSA encoder."""

    dim: int = setting(128, "Dimensions of a vector, at most: fewer where texts or terms are fewer.", ge=1, le=4096)
    max_ngram: int = setting(2, "Longest run of words that counts as one term.", ge=1, le=5)
    min_texts: int = setting(2, "Drop terms that are in fewer texts than this (unless it would leave none).", ge=1)
    max_terms: int = setting(100_000, "Keep the most frequent terms, at most this many.", ge=1)
    seed: int = setting(0, "Seed of the vector the SVD starts from.", ge=0)
    hashed_above: int = setting(
        200_000,
        "Distinct texts up to which terms are counted exactly and all texts are fitted at once; above, terms are hashed, the "
        "SVD is a randomized one and memory is bounded.",
        later=True,
        ge=0,
    )
    fit_texts: int = setting(
        500_000,
        "Texts that the model of such a large catalogue is fitted on, at most: a sample by `seed`.",
        later=True,
        ge=1,
    )


def sample(num_texts: int, options: Config) -> NDArray[np.int64] | None:
    """int64 [n]: the texts, by number and ascending, that the model of a large catalogue is fitted on.

    None for a catalogue that `fit` encodes at once.
    """
    if num_texts <= options.hashed_above:
        return None
    size = min(num_texts, options.fit_texts)
    return np.sort(np.random.default_rng(options.seed).choice(num_texts, size, replace=False))


def fit_sample(texts: Iterable[str], num_texts: int, options: Config, progress: Progress = silent) -> HashedModel:
    """The model of a large catalogue from the `num_texts` texts that `sample` chose, read once."""
    return fit_hashed(
        texts,
        num_texts,
        dim=options.dim,
        max_ngram=options.max_ngram,
        min_texts=options.min_texts,
        max_terms=options.max_terms,
        seed=options.seed,
        progress=progress,
    )


def encode(
    texts: list[str],
    options: Config,
    *,
    batch_tokens: int = 0,
    device: str | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Vectors of all texts of a catalogue, which also fit the model.

    Args:
        texts: the distinct texts.
        options: settings.
        batch_tokens, device: not used; they are part of every encoder's signature.
        progress: reports after TF-IDF and after the SVD.

    Returns:
        float32 [len(texts), d], d <= options.dim, rows of unit length; a text without any kept term is a zero row.
    """
    chosen = sample(len(texts), options)
    if chosen is None:
        return fit(texts, options, progress)[0]
    return fit_sample((texts[i] for i in chosen), len(chosen), options, progress).encode(texts)


def fit(texts: list[str], options: Config, progress: Progress = silent) -> tuple[np.ndarray, Model | None]:
    """Vectors of all texts, as `encode` gives them, and the model that gives more texts their place among them.

    The model is None where no text has a word.
    """
    if not texts:
        return np.zeros((0, 1), dtype=np.float32), None
    progress(0, 3, "counting terms")
    weights, vectorizer = _tf_idf(texts, options)
    if weights is None:
        return np.zeros((len(texts), 1), dtype=np.float32), None
    progress(1, 3, "singular value decomposition", terms=weights.shape[1])
    components = _singular_vectors(weights, options)
    progress(3, 3)
    kept_terms = vectorizer.get_feature_names_out().tolist()
    return _coordinates(weights, components), Model(kept_terms, vectorizer.idf_, components, options.max_ngram)


@dataclasses.dataclass(frozen=True)
class Model:
    """A fitted encoder. Later texts are folded in (Deerwester et al. 1990, section 4): nothing that has a place moves.

    Args:
        terms: the T kept terms, sorted.
        idf: float32 [T], inverse document frequencies of the corpus it was fitted on.
        components: float32 [d, T], leading right singular vectors.
        max_ngram: longest term, in words.
    """

    terms: list[str]
    idf: np.ndarray
    components: np.ndarray
    max_ngram: int

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 [len(texts), d], rows of unit length; a text without any known term is a zero row."""
        if not texts:
            return np.zeros((0, len(self.components)), dtype=np.float32)
        vectorizer = _vectorizer(self.max_ngram, vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        return _coordinates(vectorizer.transform(texts), self.components)

    def save(self, folder: Path) -> None:
        """Write encoder.safetensors and encoder.json into an existing folder."""
        save_file(
            {"idf": self.idf.astype(np.float32), "components": np.ascontiguousarray(self.components, dtype=np.float32)},
            folder / MODEL_FILE,
        )
        (folder / TERMS_FILE).write_text(
            json.dumps({"max_ngram": self.max_ngram, "terms": self.terms}, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: Path) -> Model | HashedModel:
        """What `save` wrote, or `save_sampled`. Raises DataError when it is missing or damaged."""
        try:
            tensors = load_file(folder / MODEL_FILE)
            meta = json.loads((folder / TERMS_FILE).read_text(encoding="utf-8"))
            if "num_buckets" in meta:
                return HashedModel.of(tensors, meta)
            return cls(meta["terms"], tensors["idf"], tensors["components"], meta["max_ngram"])
        except (FileNotFoundError, ValueError, KeyError, SafetensorError) as error:
            raise DataError(f"{folder}: no saved text encoder ({error}); recompute the embed stage") from error


def save_sampled(model: HashedModel, folder: Path) -> None:
    """Write what `fit_sample` gave into an existing folder, where `Model.load` finds it."""
    model.save(folder / MODEL_FILE, folder / TERMS_FILE)


def _vectorizer(max_ngram: int, **settings):  # type: ignore[no-untyped-def]
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=lambda text: terms(text, max_ngram), sublinear_tf=True, dtype=np.float32, **settings
    )


def _tf_idf(texts: list[str], options: Config):  # type: ignore[no-untyped-def]
    """Sparse [num_texts, num_terms] with rows of unit length and the fitted vectorizer; None, None without a word."""
    for min_texts in dict.fromkeys((min(options.min_texts, len(texts)), 1)):
        vectorizer = _vectorizer(options.max_ngram, min_df=min_texts, max_features=options.max_terms)
        try:
            return vectorizer.fit_transform(texts), vectorizer
        except ValueError as error:
            # scikit-learn has no type of its own for an empty vocabulary.
            if "empty vocabulary" not in str(error) and "no terms remain" not in str(error):
                raise
    return None, None


def _singular_vectors(weights, options: Config) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The leading right singular vectors [d, num_terms]."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.utils.extmath import svd_flip

    if options.dim >= min(weights.shape):  # ARPACK finds fewer than all of the singular vectors
        components = np.linalg.svd(weights.toarray(), full_matrices=False)[2]
    else:
        components = TruncatedSVD(options.dim, algorithm="arpack", random_state=options.seed).fit(weights).components_
    # The sign of a singular vector is free: its largest entry is made positive.
    return svd_flip(None, components, u_based_decision=False)[1]


def _coordinates(weights, components: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Coordinates along the singular vectors, scaled to length 1: exactly zero for a row of zeros."""
    from sklearn.preprocessing import normalize

    return np.ascontiguousarray(normalize(weights @ components.T), dtype=np.float32)
