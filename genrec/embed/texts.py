"""The text of an item: what an encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from genrec.errors import DataError
from genrec.tables import read_table

if TYPE_CHECKING:
    from genrec.config import EmbedConfig

LABELS = {"title": "Title", "brand": "Brand", "categories": "Categories", "description": "Description"}
CATEGORY_SEPARATOR = " > "


def read_texts(catalogue_path: Path, config: EmbedConfig) -> tuple[list[str], np.ndarray]:
    """`item_texts` of a catalogue file. Raises DataError where it is missing, empty or lacks a field."""
    catalogue = read_table(catalogue_path)
    if catalogue.num_rows == 0:
        raise DataError(f"{catalogue_path}: the catalogue is empty, there is nothing to embed")
    return item_texts(catalogue, config.fields)


def item_texts(catalogue: pa.Table, fields: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct texts of a catalogue and which one each item has.

    One line a field that is not empty, in the order of `fields`; white space inside a field becomes single blanks:

        Title: Stainless steel staples
        Brand: Stanley
        Categories: Industrial > Fasteners > Staples

    Args:
        catalogue: table with the columns named in `fields` (`categories` a list of strings, the others strings).
        fields: any of title, brand, categories, description.

    Returns:
        Distinct texts in the order of first appearance, and int64 [num_items]: item i has text number `inverse[i]`.
        An item whose fields are all empty has the text "".

    Raises:
        DataError: a field is unknown, or the catalogue lacks its column.
    """
    unknown = [name for name in fields if name not in LABELS]
    if unknown:
        raise DataError(f"embed.fields: there is no {unknown[0]!r}; known: {', '.join(LABELS)}")
    missing = [name for name in fields if name not in catalogue.column_names]
    if missing:
        raise DataError(f"catalogue: no column {missing[0]!r} for embed.fields; it has {catalogue.column_names}")
    names = list(dict.fromkeys(fields))
    chunks = []
    for batch in catalogue.select(names).to_batches(max_chunksize=65536):
        columns = [_labelled_lines(name, batch.column(name).to_pylist()) for name in names]
        texts = ["\n".join(filter(None, lines)) for lines in zip(*columns, strict=True)]
        chunks.append(pa.array(texts, pa.large_string()))  # all texts may be more than 2 GB
    encoded = pa.chunked_array(chunks, pa.large_string()).dictionary_encode().combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _labelled_lines(name: str, values: list) -> list[str]:
    if name == "categories":
        values = [
            CATEGORY_SEPARATOR.join(filter(None, (" ".join((part or "").split()) for part in value or ())))
            for value in values
        ]
    else:
        values = [" ".join((value or "").split()) for value in values]
    return [f"{LABELS[name]}: {value}" if value else "" for value in values]
