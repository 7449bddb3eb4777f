"""Item texts to vectors.parquet, in three steps that may run on different machines.

shards = split_texts(catalogue_path, config, num_shards)
vectors = [encode_shard(texts, config) for texts in shards]       # side by side
summary = write_vectors(catalogue_path, config, vectors, out)

A method that brings vectors by item id (`ready`) takes one: summary = write_ready_vectors(catalogue_path, config, out).
`reused` holds the vectors of an earlier artifact (`genrec.embed.reuse`): then only new texts are split and encoded.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrec import variants
from genrec.embed.encoders import PACKAGE
from genrec.embed.reuse import Reused
from genrec.embed.texts import read_texts
from genrec.embed.vectors import write_item_vectors
from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.tables import VECTORS_FILE, read_table

if TYPE_CHECKING:
    from genrec.config import EmbedConfig


def split_texts(
    catalogue_path: Path, config: EmbedConfig, num_shards: int, reused: Reused | None = None
) -> list[list[str]]:
    """The distinct texts of a catalogue that are not in `reused`, in shards of about the same number of characters.

    Returns:
        Lists of texts, none empty, at most num_shards; a single one where the encoder needs all texts at once (LSA);
        [] where every text is known.

    Raises:
        DataError: the catalogue is empty, missing or lacks a field.
    """
    texts = _new_texts(read_texts(catalogue_path, config)[0], reused)
    if not variants.load(PACKAGE, config.method).SHARDABLE:
        num_shards = 1
    return [[texts[i] for i in rows] for rows in _deal(texts, num_shards)]


def encode_shard(
    texts: list[str], config: EmbedConfig, progress: Progress = silent, device: str | None = None
) -> np.ndarray:
    """float32 [len(texts), d]: the vectors of one shard by the configured encoder."""
    module, options = variants.build(PACKAGE, config.method, config.options)
    return module.encode(texts, options, batch_tokens=config.batch_tokens, device=device, progress=progress)


def encode_into(file: Path, encode: Callable[..., np.ndarray], progress: Progress = silent, **call: Any) -> Path:
    """Write the array that `encode(**call, progress=progress)` returns to `file`, as .npy; returns the file.

    Vectors of a large catalogue are gigabytes: a worker on any machine leaves them where all see them, and only the name of
    the file goes through Ray. The file is there whole or not at all, also after a loss of power: an attempt that comes later
    takes it as it is.
    """
    vectors = encode(**call, progress=progress)
    partial = file.with_suffix(f".{uuid.uuid4().hex}.partial")  # a worker that was given up may still write its own
    with partial.open("wb") as opened:
        np.save(opened, vectors, allow_pickle=False)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(partial, file)
    return file


def write_vectors(
    catalogue_path: Path, config: EmbedConfig, vectors: list[np.ndarray], out: Path, reused: Reused | None = None
) -> dict[str, Any]:
    """Bring the shards' vectors into item order and write `vectors.parquet` into the folder `out`.

    Args:
        catalogue_path: the file `split_texts` read.
        config: the same settings.
        vectors: float32 [n_k, d], one array a shard, in the order of `split_texts`; they may be mapped from files.
        out: existing folder.
        reused: the same as for `split_texts`.

    Returns:
        Summary: method, num_items, num_texts (distinct), num_encoded (of those; the others are reused), num_empty
        (items without text), dim, num_zero (items with a zero vector), mean_characters.

    Raises:
        DataError: shards that do not fit the catalogue, or vectors that are not finite.
    """
    texts, inverse = read_texts(catalogue_path, config)
    new = _new_texts(texts, reused)
    shards = _deal(new, len(vectors))
    shapes = [v.shape for v in vectors] + ([reused.vectors.shape] if reused is not None else [])
    if [len(rows) for rows in shards] != [len(v) for v in vectors] or len({s[1] for s in shapes}) != 1:
        raise DataError(
            f"{VECTORS_FILE.name}: shards of shapes {shapes} do not fit the {len(texts)} distinct texts of {catalogue_path}"
        )
    of_new = np.empty((len(new), shapes[0][1]), dtype=np.float32)
    for rows, part in zip(shards, vectors, strict=True):
        of_new[rows] = part
    of_text = of_new if reused is None else _in_text_order(texts, new, of_new, reused)
    if not np.isfinite(of_text).all():
        bad = int(np.flatnonzero(~np.isfinite(of_text[inverse]).all(axis=1))[0])
        raise DataError(f"{VECTORS_FILE.name}: the vector of item {bad} by {config.method} is not finite")
    write_item_vectors(of_text[inverse], VECTORS_FILE.path(out))
    return {
        "method": config.method,
        "num_items": len(inverse),
        "num_texts": len(texts),
        "num_encoded": len(new),
        "num_empty": int(np.sum(np.array([not t for t in texts])[inverse])),
        "dim": int(of_text.shape[1]),
        "num_zero": int(np.sum((of_text == 0).all(axis=1)[inverse])),
        "mean_characters": float(np.mean(np.array([len(t) for t in texts])[inverse])),
    }


def needs_no_text(config: EmbedConfig) -> bool:
    """Whether the method brings vectors by item id instead of encoding texts."""
    return hasattr(variants.load(PACKAGE, config.method), "vectors_of_items")


def write_ready_vectors(catalogue_path: Path, config: EmbedConfig, out: Path) -> dict[str, Any]:
    """Write `vectors.parquet` into the folder `out` from a method that needs no text.

    Returns:
        Summary: method, num_items, dim, num_zero (items with a zero vector), num_extra (vectors of no item).

    Raises:
        DataError: the catalogue is empty, or an item of it has no vector.
    """
    catalogue = read_table(catalogue_path, columns=["item_id"])
    if catalogue.num_rows == 0:
        raise DataError(f"{catalogue_path}: the catalogue is empty, there is nothing to embed")
    module, options = variants.build(PACKAGE, config.method, config.options)
    vectors, num_extra = module.vectors_of_items(catalogue["item_id"], options)
    write_item_vectors(vectors, VECTORS_FILE.path(out))
    return {
        "method": config.method,
        "num_items": len(vectors),
        "dim": int(vectors.shape[1]),
        "num_zero": int((vectors == 0).all(axis=1).sum()),
        "num_extra": num_extra,
    }


def _new_texts(texts: list[str], reused: Reused | None) -> list[str]:
    return texts if reused is None else [text for text in texts if text not in reused.rows]


def _in_text_order(texts: list[str], new: list[str], of_new: np.ndarray, reused: Reused) -> np.ndarray:
    """float32 [len(texts), d]: known vectors and new ones, in the order of the texts."""
    place = {text: len(reused.vectors) + row for row, text in enumerate(new)}
    rows = [reused.rows[text] if text in reused.rows else place[text] for text in texts]
    return np.concatenate([reused.vectors, of_new])[rows]


def _deal(texts: list[str], num_shards: int) -> list[np.ndarray]:
    """Rows of each shard: longest first, dealt in turns that change direction, so that the shards' lengths are even."""
    if not texts:
        return []
    num_shards = max(1, min(num_shards, len(texts)))
    order = np.argsort([-len(t) for t in texts], kind="stable")
    position = np.arange(len(order)) % (2 * num_shards)
    shard = np.minimum(position, 2 * num_shards - 1 - position)
    return [order[shard == k] for k in range(num_shards)]
