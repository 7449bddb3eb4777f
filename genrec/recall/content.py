"""Content similarity: items whose text is close to that of the history, by the embed stage's vectors.

A graph of each item's nearest neighbours by cosine, searched exactly with faiss (Johnson et al., arXiv 1702.08734); the
score of a candidate is the sum of its similarities to the history. Needs no event at all: cold items take part.
"""

from dataclasses import dataclass

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
load = ItemGraph.load


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
