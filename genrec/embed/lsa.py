"""Latent semantic analysis: TF-IDF of words and word pairs, cut down by a truncated SVD. No downloads, no GPU.

Source: Deerwester et al., Indexing by Latent Semantic Analysis (JASIS 1990). The SVD is scikit-learn's with ARPACK:
on catalogues it is both closer and faster than the randomised one.
"""

import dataclasses
import re

import numpy as np

from genrec.embed.text import CATEGORY_SEPARATOR, LABELS
from genrec.progress import Progress, silent
from genrec.variants import setting

SHARDABLE = False  # document frequencies and the SVD belong to the whole catalogue

_LABEL = re.compile(rf"^(?:{'|'.join(LABELS.values())}): ", re.MULTILINE)
_SEGMENT = re.compile(rf"{re.escape(CATEGORY_SEPARATOR)}|\n")
_WORD = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the LSA encoder."""

    dim: int = setting(128, "Dimensions of a vector, at most: fewer where texts or terms are fewer.", ge=1, le=4096)
    max_ngram: int = setting(2, "Longest run of words that counts as one term.", ge=1, le=5)
    min_texts: int = setting(2, "Drop terms found in fewer texts than this (unless it would leave none).", ge=1)
    max_terms: int = setting(100_000, "Keep the most frequent terms, at most this many.", ge=1)
    seed: int = setting(0, "Seed of the vector the SVD starts from.", ge=0)


def terms(text: str, max_ngram: int) -> list[str]:
    """Runs of 1..max_ngram words that do not cross a line or a category; field labels are no words."""
    found = []
    for segment in _SEGMENT.split(_LABEL.sub("", text).lower()):
        words = _WORD.findall(segment)
        found += words
        for n in range(2, max_ngram + 1):
            found += [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    return found


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
        progress: told after TF-IDF and after the SVD.

    Returns:
        float32 [len(texts), d], d <= options.dim, rows of unit length; a text without any kept term is a zero row.
    """
    from sklearn.preprocessing import normalize

    if not texts:
        return np.zeros((0, 1), dtype=np.float32)
    progress(0, 3, "counting terms")
    weights = _tf_idf(texts, options)
    if weights is None:
        return np.zeros((len(texts), 1), dtype=np.float32)
    progress(1, 3, "singular value decomposition", terms=weights.shape[1])
    vectors = _truncated_svd(weights, options)
    progress(3, 3)
    return np.ascontiguousarray(normalize(vectors), dtype=np.float32)


def _tf_idf(texts: list[str], options: Config):  # type: ignore[no-untyped-def]
    """Sparse [num_texts, num_terms] with rows of unit length, or None where no text has a word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    for min_texts in dict.fromkeys((min(options.min_texts, len(texts)), 1)):
        vectorizer = TfidfVectorizer(
            analyzer=lambda text: terms(text, options.max_ngram),
            min_df=min_texts,
            max_features=options.max_terms,
            sublinear_tf=True,
            dtype=np.float32,
        )
        try:
            return vectorizer.fit_transform(texts)
        except ValueError as error:
            # scikit-learn has no type of its own for an empty vocabulary.
            if "empty vocabulary" not in str(error) and "no terms remain" not in str(error):
                raise
    return None


def _truncated_svd(weights, options: Config) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Coordinates along the leading right singular vectors: exactly zero for a row of zeros."""
    from sklearn.decomposition import TruncatedSVD

    if options.dim >= min(weights.shape):  # ARPACK finds fewer than all of the singular vectors
        components = np.linalg.svd(weights.toarray(), full_matrices=False)[2]
    else:
        components = TruncatedSVD(options.dim, algorithm="arpack", random_state=options.seed).fit(weights).components_
    # The sign of a singular vector is free: its largest entry is made positive.
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return weights @ (components * np.sign(largest)).T
