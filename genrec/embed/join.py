"""The vectors of all pieces, brought into item order block by block: no more than a block is in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrec.embed.plan import Plan, read_numbers
from genrec.embed.vectors import VectorsWriter, map_item_vectors, rows_at_once
from genrec.errors import DataError
from genrec.tables import VECTORS_FILE

if TYPE_CHECKING:
    from genrec.config import EmbedConfig


def write_vectors(plan: Plan, config: EmbedConfig, out: Path) -> dict[str, Any]:
    """Write `vectors.parquet` into the folder `out` from the files of a plan's pieces.

    Args:
        plan: the plan; all its pieces are encoded.
        config: the same settings.
        out: existing folder.

    Returns:
        Summary: method, num_items, num_texts (distinct), num_encoded (of those; the others are taken over), num_empty
        (items without text), dim, num_zero (items with a zero vector), mean_characters.

    Raises:
        DataError: files that do not fit the plan, or vectors that are not finite.
    """
    source = _Source(plan)
    _, text_of_item, place = read_numbers(plan)
    dtype = np.dtype(config.number_format)
    num_zero, step = 0, rows_at_once(source.dim, dtype)
    with VectorsWriter(VECTORS_FILE.path(out), source.dim, dtype) as writer:
        for start in range(0, plan.num_items, step):
            vectors = source.take(place[text_of_item[start : start + step]], dtype)
            finite = np.isfinite(vectors).all(axis=1)
            if not finite.all():
                bad = start + int(np.flatnonzero(~finite)[0])
                raise DataError(f"{VECTORS_FILE.name}: the vector of item {bad} by {config.method} is not finite")
            num_zero += int((vectors == 0).all(axis=1).sum())
            writer.write(vectors)
    return {
        "method": config.method,
        "num_items": plan.num_items,
        "num_texts": plan.num_texts,
        "num_encoded": plan.num_new,
        "num_empty": plan.num_empty,
        "dim": source.dim,
        "num_zero": num_zero,
        "mean_characters": plan.mean_characters,
    }


class _Source:
    """Vectors by their place in a plan (`genrec.embed.plan.Numbers`), mapped from files."""

    def __init__(self, plan: Plan) -> None:
        self.parts = [np.load(piece.file, mmap_mode="r", allow_pickle=False) for piece in plan.pieces]
        self.starts = np.array([piece.start for piece in plan.pieces], dtype=np.int64)
        self.known = None
        if plan.vectors is not None:
            self.known = map_item_vectors(plan.vectors, plan.file.with_suffix(".known.npy"))
        shapes = [part.shape for part in self.parts] + ([self.known.shape] if self.known is not None else [])
        fits = all(len(part) == stop - start for part, (start, stop, _) in zip(self.parts, plan.pieces, strict=True))
        if not fits or len({shape[1:] for shape in shapes}) != 1:
            raise DataError(
                f"{VECTORS_FILE.name}: pieces of shapes {shapes[:5]} do not fit the {plan.num_texts} distinct texts of the "
                "catalogue, or each other"
            )
        self.dim = int(shapes[0][1])

    def take(self, place: NDArray[np.int32], dtype: np.dtype) -> NDArray[np.floating]:
        """[len(place), dim]"""
        vectors = np.empty((len(place), self.dim), dtype=dtype)
        old = place < 0
        if self.known is not None:
            vectors[old] = self.known[-1 - place[old]]
        part_of = np.where(old, -1, np.searchsorted(self.starts, place, side="right") - 1)
        for number in np.unique(part_of[~old]):
            rows = np.flatnonzero(part_of == number)
            vectors[rows] = self.parts[number][place[rows] - self.starts[number]]
        return vectors
