"""Content similarity: items whose text is close to that of the history, by the embed stage's vectors.

A graph of each item's nearest neighbours by cosine, searched exactly with faiss (Johnson et al., arXiv 1702.08734); the
score of a candidate is the sum of its similarities to the history. Needs no event at all: cold items take part.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from genrec.errors import DataError
from genrec.recall.parts.item_graph import ItemGraph
from genrec.recall.parts.scorer import Training, flatten, unit_rows
from genrec.sid.nearest import nearest
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """Content similarity."""

    num_neighbours: int = setting(100, "Nearest items by text of each history item that get a score.", ge=1)
    history_decay: float = setting(0.7, "Weight of a history item is history_decay ** age.", gt=0, le=1)


CHOICES = {"history_decay": (0.2, 0.4, 0.7), "num_neighbours": (30, 50, 100)}
RANKING = ("history_decay",)
READS_EVENTS = False
_LARGE_CATALOGUE = 50_000
load = ItemGraph.load


def suited(num_items: int) -> dict[str, Any]:
    """Of a large catalogue: the default number of neighbours, for each search compares every item with every other."""
    return {} if num_items <= _LARGE_CATALOGUE else {"num_neighbours": Config().num_neighbours}


def fit(data: Training, options: Config) -> ItemGraph:
    """The nearest neighbours of every item. Raises DataError without vectors."""
    flatten(data.sequences, data.num_items)  # checks the items
    if data.vectors is None or len(data.vectors) != data.num_items:
        raise DataError(f"baseline content: needs the vectors of all {data.num_items} items, from the embed stage")
    vectors = unit_rows(data.vectors)
    width = min(options.num_neighbours + 1, data.num_items)
    similarity, neighbours = nearest(vectors, vectors, width)
    rows = np.repeat(np.arange(data.num_items), width)
    # Negative similarities count as none; an item is no neighbour of itself.
    kept = (neighbours.ravel() != rows) & (similarity.ravel() > 0)
    weights = sp.csr_array(
        (similarity.ravel()[kept], (rows[kept], neighbours.ravel()[kept])), shape=(data.num_items, data.num_items)
    )
    return ItemGraph(weights, options.history_decay)
