"""The vectors artifact."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.embed.vectors import read_item_vectors, write_item_vectors
from genrec.errors import DataError

FIELDS = ["title", "brand", "categories", "description"]


ROWS = [
    {"title": "Steel nut", "brand": "Acme", "categories": ["Tools", "Nuts"], "description": "ten  pack\nof nuts"},
    {"title": "Red lamp", "categories": ["Light"]},
    {"title": "Steel nut", "brand": "Acme", "categories": ["Tools", "Nuts"], "description": "ten pack of nuts"},
    {},
]


def test_item_vectors_survive_the_file(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    write_item_vectors(vectors, tmp_path / "vectors.parquet")
    np.testing.assert_array_equal(read_item_vectors(tmp_path / "vectors.parquet"), vectors)


def test_damaged_vectors_files_are_named(tmp_path):
    path = tmp_path / "vectors.parquet"
    write_item_vectors(np.array([[1.0], [np.inf]], dtype=np.float32), path)
    with pytest.raises(DataError, match=r"vectors\.parquet: the vector of item 1"):
        read_item_vectors(path)
    write_item_vectors(np.ones((3, 1), dtype=np.float32), path)
    pq.write_table(pq.read_table(path).take(pa.array([1, 0, 2])), path)
    with pytest.raises(DataError, match="row i must hold item i"):
        read_item_vectors(path)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(DataError, match="not a vectors file"):
        read_item_vectors(path)
