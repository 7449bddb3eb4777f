"""Item2Vec: word2vec's skip-gram with negative sampling on sequences of items, by the `gensim` library.

Barkan and Koenigstein, "Item2Vec" (MLSP 2016). The negative-sampling exponent and the number of epochs matter more here
than for words (Caselles-Dupré et al., "Word2vec applied to recommendation: hyperparameters matter", RecSys 2018). The
score of a candidate is the cosine of its vector and the weighted mean of the history's vectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.recall.parts.channel import Channel, ZeroScorer
from genrec.recall.parts.index_files import State
from genrec.recall.parts.scorer import (
    History,
    Training,
    flatten,
    rank_unknown_last,
    unit_rows,
    weighted_sum,
)
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Item2Vec."""

    dim: int = setting(64, "Dimensions of a vector.", ge=1)
    window: int = setting(5, "Longest distance, in events, between an item and its context.", ge=1)
    negatives: int = setting(5, "Random items contrasted with each true context.", ge=1)
    negatives_exponent: float = setting(
        0.75, "Exponent of an item's count in the distribution of negatives; below 0 rare items are favoured."
    )
    epochs: int = setting(25, "Passes over the training sequences.", ge=1)
    learning_rate: float = setting(0.1, "Initial learning rate, falling linearly to zero.", gt=0)
    history_decay: float = setting(0.8, "Weight of a history item is history_decay ** age.", gt=0, le=1)


CHOICES = {"history_decay": (0.4, 0.6, 0.8), "negatives_exponent": (0.75, 0.0)}
RANKING = ("history_decay",)
_LARGE_CATALOGUE, _EPOCHS_OF_LARGE = 50_000, 10


def suited(num_items: int) -> dict[str, Any]:
    """Of a large catalogue: fewer epochs, for one of 4 million events takes 50 s."""
    return {} if num_items <= _LARGE_CATALOGUE else {"epochs": _EPOCHS_OF_LARGE}


class Vectors(Channel):
    """Scorer by cosine."""

    known: NDArray[np.bool_]

    def __init__(self, vectors: NDArray[np.float32], known: NDArray[np.bool_], decay: float) -> None:
        self.vectors = vectors  # float32 [num_items, dim], unit rows; zeros where unknown
        self.known, self.decay = known, decay
        self.num_items = len(vectors)

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items], in [-1, 1]."""
        return rank_unknown_last(self._products(histories), self.known)

    def _products(self, histories: Sequence[History]) -> NDArray[np.float32]:
        return unit_rows(weighted_sum(histories, self.num_items, self.decay, self.vectors)) @ self.vectors.T

    def with_options(self, options: Config) -> "Vectors":
        """The same vectors with the decay of the options."""
        return Vectors(self.vectors, self.known, options.history_decay)

    def state(self) -> State:
        """The vectors, which items have one, and the decay."""
        return {"vectors": self.vectors, "known": self.known}, {"decay": self.decay}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "Vectors":
        """The channel that has this state."""
        return cls(arrays["vectors"], arrays["known"], float(settings["decay"]))


load = Vectors.load


def fit(data: Training, options: Config) -> Vectors | ZeroScorer:
    """Train vectors on the training sequences, on one thread: more would make the result depend on their timing."""
    flatten(data.sequences, data.num_items)  # checks the items
    words = [str(item) for item in range(data.num_items)]  # one text for all events of an item
    sentences = [[words[item] for item in sequence] for sequence in data.sequences if len(sequence) > 1]
    if not sentences:
        return ZeroScorer(data.num_items)
    from gensim.models import Word2Vec

    model = Word2Vec(
        sentences=sentences,
        vector_size=options.dim,
        window=options.window,
        sg=1,
        negative=options.negatives,
        ns_exponent=options.negatives_exponent,
        epochs=options.epochs,
        alpha=options.learning_rate,
        sample=0,
        min_count=1,
        workers=1,
        seed=data.seed,
    )
    vectors = np.zeros((data.num_items, options.dim), dtype=np.float32)
    items = np.array([int(word) for word in model.wv.index_to_key])
    vectors[items] = model.wv.vectors
    known = np.zeros(data.num_items, dtype=bool)
    known[items] = True
    return Vectors(unit_rows(vectors), known, options.history_decay)
