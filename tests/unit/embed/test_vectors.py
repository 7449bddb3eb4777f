"""The vectors artifact."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.embed import vectors as module
from genrec.embed.vectors import map_item_vectors, read_item_vectors, write_item_vectors
from genrec.errors import DataError


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


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("group_bytes", [8, 100, 1 << 20])
def test_vectors_are_written_in_groups_of_bounded_size_and_read_and_mapped_as_one(
    tmp_path, monkeypatch, dtype, group_bytes
):
    monkeypatch.setattr(module, "_GROUP_BYTES", group_bytes)
    vectors = np.random.default_rng(0).normal(size=(23, 5)).astype(dtype)
    path = tmp_path / "vectors.parquet"
    write_item_vectors(vectors, path, dtype)
    with pq.ParquetFile(path) as file:
        most = max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
    assert most == min(23, max(1, group_bytes // (5 * vectors.itemsize)))
    read = read_item_vectors(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, vectors.astype(np.float32))
    mapped = map_item_vectors(path, tmp_path / "mapped.npy")
    assert mapped.dtype == vectors.dtype
    np.testing.assert_array_equal(np.load(tmp_path / "mapped.npy"), vectors)
