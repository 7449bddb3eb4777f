"""Files with ids that people write."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.errors import DataError
from genrec.serve.batch.ids_file import read_ids


def _write(path, ids):
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"spent": [1.0] * len(ids), "user_id": ids}), path)
    elif path.suffix == ".csv":
        path.write_text("spent,user_id\n" + "".join(f'1,"{i}"\n' for i in ids))
    else:
        path.write_text("\n".join([*ids, ""]))
    return path


@pytest.mark.parametrize("name", ["users.parquet", "users.csv", "users.txt", "users"])
def test_ids_are_text_as_written_sorted_and_each_once(tmp_path, name):
    ids, repeated = read_ids(_write(tmp_path / name, ["b", "007", " ä, x", "b", "b"]), "user_id", "recommend.users")
    assert ids.to_pylist() == ["007", "b", "ä, x"]
    assert repeated == 2


def test_whole_numbers_in_parquet_are_ids_and_a_header_in_text_is_none(tmp_path):
    pq.write_table(pa.table({"user_id": [12, 3]}), tmp_path / "a.parquet")
    assert read_ids(tmp_path / "a.parquet", "user_id", "s")[0].to_pylist() == ["12", "3"]
    (tmp_path / "a.txt").write_text("\ufeffuser_id\nx\n\n")
    assert read_ids(tmp_path / "a.txt", "user_id", "s")[0].to_pylist() == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.csv", None, "none.csv: no such file; give a Parquet, CSV or text file with a user_id a row"),
        ("a.csv", b"", "a.csv is empty; write a header with user_id"),
        ("a.txt", b" \n", "a.txt holds no id; write a user_id a row, or leave the setting out"),
        ("a.csv", b"user_id\n", "a.csv holds no id"),
        ("a.csv", b"customer,spent\nx,1\n", "a.csv has no column user_id; it has customer, spent: rename"),
        ("a.csv", b"user_id,spent\nx,1\n,1\n,2\n", "a.csv: 2 rows have no user_id, first row 2; fill or remove"),
        ("a.parquet", b"PAR1 no more", "a.parquet cannot be read"),
        ("a.txt", b"\xff\xfe\x00", "a.txt cannot be read"),
        ("a.csv", b"user_id\n\xff\xfe\n", "a.csv cannot be read"),
        ("a.csv", b"user_id,b\nx,1,2\n", "a.csv cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_fix(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"^recommend.users: ") as error:
        read_ids(tmp_path / name, "user_id", "recommend.users")
    assert says in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_numbers_with_a_point_are_no_ids(tmp_path):
    pq.write_table(pa.table({"user_id": [1.0, None]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="user_id holds double; write ids as text or whole numbers"):
        read_ids(tmp_path / "a.parquet", "user_id", "s")
