"""The steps after the ranker, over the items of a catalogue as it is served."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec.measure.reranked import Reranking
from genrec.rank.rerank.parts import steps as re_rankers
from genrec.rank.rerank.parts.build import facts_of
from genrec.serve.catalogue import Catalogue
from genrec.serve.ranked.files import RERANK, read_facts


def reranking(folder: Path, catalogue: Catalogue, vectors: NDArray[np.float32] | None) -> Reranking | None:
    """The tuned steps of an artifact for a catalogue; None where none were chosen.

    vectors: float32 [N, V] of the items that the model was trained on; those of later ones are the catalogue's.
    """
    if not (folder / RERANK).is_file():
        return None
    table = pa.table(
        {
            "brand": catalogue.brands,
            "categories": pa.array([list(names) for names in catalogue.categories], pa.list_(pa.string())),
            "train_count": catalogue.popularity,
        }
    )
    if vectors is not None and catalogue.added is not None:
        vectors = np.concatenate([vectors, catalogue.added])
    facts, item_aims = facts_of(table, vectors)
    k = int(read_facts(folder)["rerank"]["k"])
    return Reranking(re_rankers.load(folder), facts, item_aims, k)
