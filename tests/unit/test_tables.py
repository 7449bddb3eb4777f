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


def test_a_table_file_knows_its_name_and_columns(tmp_path) -> None:
    users = pa.table({"user_id": ["u", "v"], "user": [0, 1]})
    path = tables.USERS_FILE.write(users, tmp_path)
    assert path == tmp_path / "users.parquet" == tables.USERS_FILE.path(tmp_path)
    assert tables.USERS_FILE.read(tmp_path).schema.equals(tables.USERS)
    assert tables.USERS_FILE.read(tmp_path, ["user_id"]).to_pydict() == {"user_id": ["u", "v"]}
    with pytest.raises(DataError, match=r"users\.parquet: columns do not match the schema \(missing \['user'\]"):
        tables.USERS_FILE.write(users.drop_columns(["user"]), tmp_path)


def test_a_table_whose_columns_depend_on_a_size_takes_their_schema_from_the_writer(tmp_path) -> None:
    rows = pa.table({"item": [0], "vector": [[1.0, 2.0]]})
    with pytest.raises(ValueError, match="give their schema"):
        tables.VECTORS_FILE.write(rows, tmp_path)
    tables.VECTORS_FILE.write(rows, tmp_path, tables.vectors_schema(2))
    assert tables.VECTORS_FILE.read(tmp_path)["vector"].to_pylist() == [[1.0, 2.0]]


def test_parts_are_listed_in_the_order_of_their_numbers(tmp_path) -> None:
    numbers = (0, 2, 10, 99_999, 100_000)
    for index in reversed(numbers):
        tables.TRAIN_FILE.part(tmp_path, index).touch()
    tables.USERS_FILE.part(tmp_path, 1).touch()
    assert tables.TRAIN_FILE.parts(tmp_path) == [tables.TRAIN_FILE.part(tmp_path, index) for index in numbers]


def test_every_file_has_a_name_of_its_own() -> None:
    files = [value.name for name, value in vars(tables).items() if name.endswith("_FILE")]
    assert len(files) == len(set(files)) >= 14
