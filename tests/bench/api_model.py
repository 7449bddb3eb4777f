"""A model to serve, as an exported folder, and histories to ask it for: the demo shop's shape with random weights, or a
trained one."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from genrec import tables
from genrec.embed.vectors import write_item_vectors
from genrec.model.item_vectors import ItemVectors
from genrec.model.transitions import Transitions
from genrec.serve import bundle
from genrec.serve.model_files import ModelFiles, in_store_at
from genrec.serve.recommender import Recommender, find_files
from genrec.sid.artifact import write_sids
from tests.bench.bench_decode import NUM_CODES, NUM_LEVELS, random_policy
from tests.bench.random_ids import random_ids

_TEXT_DIM, _HIDDEN, _LAYERS = 128, 128, 2
_SHORTEST, _MEAN, _LONGEST = 4, 8.5, 39  # of the demo shop's histories


def random_histories(num_items: int, number: int, seed: int = 0) -> list[np.ndarray]:
    """Histories of the demo shop's lengths."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(_SHORTEST - 1 + rng.geometric(1 / (_MEAN - _SHORTEST + 1), number), _LONGEST)
    return [rng.integers(0, num_items, length) for length in lengths]


def write_random_model(folder: Path, num_items: int, seed: int = 0) -> None:
    """Export a model of the default recipe's shape (item tokens, prefixes, dense head, transitions), weights random."""
    rng = np.random.default_rng(seed)
    sids = random_ids(num_items, NUM_LEVELS, NUM_CODES, seed)
    vectors = rng.standard_normal((num_items, _TEXT_DIM)).astype(np.float32)
    policy = random_policy(_HIDDEN, _LAYERS, seed)
    items = ItemVectors(sids, NUM_CODES, _HIDDEN, vectors, ids=True, nodes=True)
    sequences = random_histories(num_items, 4 * num_items, seed)
    offsets = np.cumsum([0, *map(len, sequences)])
    items.transitions = Transitions.count(np.concatenate(sequences), offsets, num_items, window=3, history_decay=0.5)
    output = {"name": "prefixes", "options": {"history_state": True, "nodes": True}}
    policy.use_items(items, "item_tokens", {}, 0.9, output)
    policy.transition_share = 0.5
    with tempfile.TemporaryDirectory() as parts:
        files = _files(Path(parts), sids, vectors)
        policy.save(files.model)
        bundle.write(files, folder)


def _files(parts: Path, sids: np.ndarray, vectors: np.ndarray) -> ModelFiles:
    """Artifacts around a model that is still to be written."""
    prepared, ids, embed = (parts / name for name in ("prepare", "sid", "embed"))
    for part in (prepared, ids, embed):
        part.mkdir()
    write_sids(sids, sids, ids / "sids.parquet")
    write_item_vectors(vectors, embed / "vectors.parquet")
    num_items = len(sids)
    columns = {
        "item": np.arange(num_items),
        "item_id": [f"B{item:07d}" for item in range(num_items)],
        "title": [f"Item number {item} of the shop, blue" for item in range(num_items)],
        "description": [""] * num_items,
        "brand": ["brand"] * num_items,
        "categories": [["shop", f"aisle {item % 20}"] for item in range(num_items)],
        "train_count": np.ones(num_items, dtype=np.int64),
    }
    tables.CATALOGUE_FILE.write(pa.table(columns), prepared)
    encoder = {"method": "lsa", "fields": ["title"], "options": {}}
    where = f"random weights, {num_items} items"
    catalogue = prepared / "catalogue.parquet"
    return ModelFiles("random", "random", where, catalogue, ids, parts / "model", None, embed, encoder)


def export(source: str | None, folder: Path, num_items: int) -> None:
    """A model in `folder`: that of a store or of an exported folder, or a random one."""
    if source is None:
        write_random_model(folder, num_items)
    else:
        bundle.write(find_files(source), folder)


def histories_of(source: str | None, num_items: int, number: int) -> list[np.ndarray]:
    """Histories in item numbers: of users of a store drawn at random, or random ones."""
    if source is None or bundle.is_bundle(Path(source)):
        return random_histories(num_items, number)
    table = tables.HISTORIES_FILE.read(in_store_at(source).catalogue.parent, ["items"])
    rows = np.random.default_rng(0).permutation(len(table))[:number]
    return [np.array(items) for items in table["items"].take(pa.array(rows)).to_pylist()]


def load(folder: Path) -> Recommender:
    """The model, to be searched by one thread."""
    torch.set_num_threads(1)
    return Recommender.load(folder)
