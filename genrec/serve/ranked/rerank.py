"""The steps after the ranker, over the items of a catalogue as it is served."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec.measure.reranked import Reranking
from genrec.rank.features.parts.queries import Asked, Queries
from genrec.rank.rerank.parts import steps as re_rankers
from genrec.rank.rerank.parts.build import facts_of
from genrec.rank.retrieval import Retrieval
from genrec.rank.samples import Samples
from genrec.serve.catalogue import Catalogue
from genrec.serve.ranked.files import RERANK, read_facts
from genrec.serve.ranked.folds import MeanOfFolds


def reranking(
    folder: Path, retrieval: Retrieval, catalogue: Catalogue, vectors: NDArray[np.float32] | None
) -> Reranking | None:
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
    return Reranking(re_rankers.load(folder), retrieval.tables, facts, item_aims, k)


def reranked(
    steps: Reranking, ranking: MeanOfFolds, samples: Samples, queries: Queries, width: int
) -> NDArray[np.int32]:
    """int32 [U, width]: the items of each query as the steps put them, -1 where there is none."""
    number = len(queries)
    nobody = np.full(number, -1, dtype=np.int32)
    asked = Asked(queries, np.arange(number, dtype=np.int32), nobody, np.full(number, ""))
    return steps.lists(ranking, samples, asked, width)[0]  # type: ignore[arg-type]
