"""Indices of channels on the disk: what is damaged is named, and never used."""

import numpy as np
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file

from genrec.errors import DataError
from genrec.rank.features.parts.tables import Tables
from genrec.recall import itemcf
from genrec.recall.parts import index_files
from genrec.recall.parts.scorer import Training


def test_a_column_outside_of_the_matrix_is_refused(tmp_path):
    index_files.write(tmp_path, {"weights": sp.csr_array(np.eye(2, dtype=np.float32))}, {})
    arrays = load_file(tmp_path / index_files.ARRAYS)
    arrays["weights.indices"] = np.array([0, 1_000_000], dtype=arrays["weights.indices"].dtype)
    save_file(arrays, tmp_path / index_files.ARRAYS)
    with pytest.raises(DataError, match="holds no readable index"):
        index_files.read(tmp_path)


def test_an_index_without_one_of_its_arrays_is_named(tmp_path):
    data = Training([np.array([0, 1]), np.array([1, 0])], 2)
    channel = itemcf.fit(data, itemcf.Config())
    index_files.write(tmp_path, {}, channel.state()[1])
    for kind in (type(channel), Tables):
        with pytest.raises(DataError, match="holds no complete index"):
            kind.load(tmp_path)
