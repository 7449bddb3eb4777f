"""The text of an item: what an encoder reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from genrec.errors import DataError

LABELS = {"title": "Title", "brand": "Brand", "categories": "Categories", "description": "Description"}
CATEGORY_SEPARATOR = " > "


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
    check_fields(fields, catalogue.column_names)
    batches = catalogue.select(list(dict.fromkeys(fields))).to_batches(max_chunksize=65536)
    chunks = [pa.array(texts_of(batch, fields), pa.large_string()) for batch in batches]  # may be more than 2 GB
    encoded = pa.chunked_array(chunks, pa.large_string()).dictionary_encode().combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def check_fields(fields: Sequence[str], columns: Sequence[str]) -> None:
    """Raises DataError where a field is unknown, or the catalogue lacks its column."""
    unknown = [name for name in fields if name not in LABELS]
    if unknown:
        raise DataError(f"embed.fields: there is no {unknown[0]!r}; known: {', '.join(LABELS)}")
    missing = [name for name in fields if name not in columns]
    if missing:
        raise DataError(f"catalogue: no column {missing[0]!r} for embed.fields; it has {list(columns)}")


def texts_of(rows: pa.RecordBatch, fields: Sequence[str]) -> list[str]:
    """The text of each row, equal ones too."""
    lines = [_labelled_lines(name, rows.column(name).to_pylist()) for name in dict.fromkeys(fields)]
    return ["\n".join(filter(None, of_row)) for of_row in zip(*lines, strict=True)]


def _labelled_lines(name: str, values: list) -> list[str]:
    if name == "categories":
        values = [
            CATEGORY_SEPARATOR.join(filter(None, (" ".join((part or "").split()) for part in value or ())))
            for value in values
        ]
    else:
        values = [" ".join((value or "").split()) for value in values]
    return [f"{LABELS[name]}: {value}" if value else "" for value in values]
