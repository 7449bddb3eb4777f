"""Tables are checked where they are written and read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec import tables
from genrec.errors import DataError


def test_labels_are_numbered_by_first_appearance() -> None:
    numbers, names = tables.numbered(pa.array(["b", "a", "b", "", "a"]))
    assert (numbers.tolist(), names) == ([0, 1, 0, 2, 1], ["b", "a", ""])
    assert numbers.dtype == np.int64
    numbers, names = tables.numbered(pa.array([], pa.string()))
    assert (numbers.tolist(), names) == ([], [])


def test_a_file_with_other_columns_is_an_error_that_names_them(tmp_path) -> None:
    path = tmp_path / "users.parquet"
    pq.write_table(pa.table({"user": pa.array([0], pa.int32()), "name": ["u"]}), path)
    with pytest.raises(DataError, match=r"users\.parquet: columns \['user', 'name'\] where \['user', 'user_id'\]"):
        tables.read_table(path, tables.USERS)
    with pytest.raises(DataError, match=r"where \['user_id'\] were expected; .* compute its stage again"):
        tables.read_table(path, columns=["user_id"])
    assert tables.read_table(path, columns=["name"]).column_names == ["name"]
    with pytest.raises(DataError, match=r"no such file; the folder holds \['users.parquet'\]"):
        tables.read_table(tmp_path / "train.parquet")
