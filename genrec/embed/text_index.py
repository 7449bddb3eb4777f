"""Which distinct text each item of a catalogue has, without holding the texts: they stay in the file, and are read again.

Texts are told apart by a digest of 128 bits (BLAKE2b), so that a catalogue of 10 million items takes half a gigabyte here
and not all of its texts.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genrec.embed.texts import check_fields, texts_of
from genrec.errors import DataError
from genrec.tables import check_there

_BATCH_ROWS = 65_536
_DIGEST_BYTES = 16


@dataclasses.dataclass(frozen=True)
class TextIndex:
    """The distinct texts of a catalogue, numbered by their first appearance.

    Args:
        inverse: int32 [num_items], the number of each item's text.
        first: int32 [num_texts], the first item that has each text; ascending.
        characters: int32 [num_texts], length of each text.
        digests: fixed-size binary [num_texts], what tells the texts apart.
    """

    inverse: NDArray[np.int32]
    first: NDArray[np.int32]
    characters: NDArray[np.int32]
    digests: pa.Array

    def found_in(self, other: TextIndex) -> NDArray[np.int32]:
        """int32 [num_texts]: the number that each text has in `other`, -1 where it is not there."""
        place = pc.fill_null(pc.index_in(self.digests, value_set=other.digests), -1)
        return place.to_numpy(zero_copy_only=False).astype(np.int32)


def index_texts(catalogue_path: Path, fields: Sequence[str]) -> TextIndex:
    """The index of a catalogue file. Raises DataError where it is missing, empty or lacks a field."""
    digests, lengths = [], []
    for batch in _batches(catalogue_path, fields):
        texts = texts_of(batch, fields)
        joined = b"".join(hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest() for text in texts)
        digests.append(pa.Array.from_buffers(pa.binary(_DIGEST_BYTES), len(texts), [None, pa.py_buffer(joined)]))
        lengths.append(np.fromiter(map(len, texts), np.int32, len(texts)))
    if not digests:
        raise DataError(f"{catalogue_path}: the catalogue is empty, there is nothing to embed")
    encoded = pa.chunked_array(digests, pa.binary(_DIGEST_BYTES)).dictionary_encode().combine_chunks()
    inverse = encoded.indices.to_numpy().astype(np.int32)
    first = np.empty(len(encoded.dictionary), np.int32)
    first[inverse[::-1]] = np.arange(len(inverse), dtype=np.int32)[::-1]
    return TextIndex(inverse, first, np.concatenate(lengths)[first], encoded.dictionary)


def read_texts(catalogue_path: Path, fields: Sequence[str], items: NDArray[np.integer]) -> Iterator[str]:
    """The texts of some items of a catalogue file, one after the other; only a batch of rows is in memory.

    Args:
        catalogue_path: the file.
        fields: as for `item_texts`.
        items: int [n], row numbers, ascending.
    """
    if not len(items):
        return
    with pq.ParquetFile(catalogue_path) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    ends = np.cumsum(sizes)
    groups = np.unique(np.searchsorted(ends, items, side="right"))
    at = 0
    for group in groups:
        start = int(ends[group]) - sizes[group]
        for batch in _batches(catalogue_path, fields, [int(group)]):
            stop = int(np.searchsorted(items, start + batch.num_rows))
            if stop > at:
                yield from texts_of(batch.take(pa.array(items[at:stop] - start)), fields)
            at, start = stop, start + batch.num_rows


def _batches(path: Path, fields: Sequence[str], groups: list[int] | None = None) -> Iterator[pa.RecordBatch]:
    check_there(path)
    with pq.ParquetFile(path) as file:
        check_fields(fields, file.schema_arrow.names)
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=list(dict.fromkeys(fields))):
            if batch.num_rows:
                yield batch
