"""Ready-made vectors in place of an encoder."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.config import Config, EmbedConfig
from genrec.embed.encode import needs_no_text, write_ready_vectors
from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError, GenrecError
from tasks.stages.embed import embed
from tests.support.embed_tiny import catalogue_of

IDS = ["i2", "i0", "x9", "i1"]
LISTS = pa.list_(pa.float64())
VECTORS = np.array([[2.0, 2.5], [0.0, 0.5], [9.0, 9.5], [1.0, 1.5]])


def write(folder, ids=IDS, vectors=VECTORS, kind=LISTS, name="ready.parquet"):
    column = pa.array([None if v is None else list(v) for v in vectors], kind)
    pq.write_table(pa.table({"item_id": ids, "vector": column}), folder / name)
    return EmbedConfig(method="ready", options={"path": str(folder / name)})


def ready(folder, config):
    pq.write_table(catalogue_of([{}, {}, {}]), folder / "catalogue.parquet")
    return write_ready_vectors(folder / "catalogue.parquet", config, folder)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64())]
)
def test_vectors_are_put_in_the_order_of_the_catalogue(tmp_path, kind):
    summary = ready(tmp_path, write(tmp_path, kind=kind))
    np.testing.assert_array_equal(read_item_vectors(tmp_path / "vectors.parquet"), [[0, 0.5], [1, 1.5], [2, 2.5]])
    assert summary == {"method": "ready", "num_items": 3, "dim": 2, "num_zero": 0, "num_extra": 1}


@pytest.mark.parametrize(
    ("ids", "vectors", "kind", "message"),
    [
        (["i2", "x9"], [[1.0], [2.0]], LISTS, r"no vector for 2 of the catalogue's 3 items, such as i0, i1"),
        (["i0", "i1", "i2", "i1"], [[1.0]] * 4, LISTS, "'i1' is in more than one row"),
        (["i0", "i1", "i2"], [[1.0], [1.0, 2.0], [1.0]], LISTS, "item 'i1' has not 1 values"),
        (["i0", "i1", "i2"], [[], [], []], LISTS, "has not one or more values"),
        (["i0", "i1", "i2"], [[1.0], [2.0], [np.nan]], LISTS, r"item 'i2' is not finite \(1 such items\)"),
        (["i0", "i1", "i2"], [[1.0], [np.inf], [1.0]], LISTS, "item 'i1' is not finite"),
        (["i0", "i1", "i2"], [[1.0], None, [1.0]], LISTS, "item 'i1' has a null vector"),
        (["i0", "i1", "i2"], [["1"], ["2"], ["3"]], pa.list_(pa.string()), r"list<.*string>; a list of floats"),
    ],
)
def test_files_that_do_not_serve_the_catalogue_are_named(tmp_path, ids, vectors, kind, message):
    with pytest.raises(DataError, match=message):
        ready(tmp_path, write(tmp_path, ids, vectors, kind))


def test_null_values_inside_a_vector_are_not_finite(tmp_path):
    with pytest.raises(DataError, match="item 'i1' is not finite"):
        ready(tmp_path, write(tmp_path, ["i0", "i1", "i2"], [[1.0], [None], [1.0]], LISTS))


def test_a_missing_file_a_missing_column_and_no_parquet_are_named(tmp_path):
    config = EmbedConfig(method="ready", options={"path": str(tmp_path / "x.parquet")})
    with pytest.raises(DataError, match=r"x\.parquet' is no file"):
        ready(tmp_path, config)
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        ready(tmp_path, config)
    pq.write_table(pa.table({"item_id": ["a"], "embedding": [[1.0]]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="no column 'vector'"):
        ready(tmp_path, config)


def test_numbers_as_ids_are_read_as_text(tmp_path):
    pq.write_table(catalogue_of([{}]).set_column(0, "item_id", [["7"]]), tmp_path / "catalogue.parquet")
    config = write(tmp_path, pa.array([7]), [[1.0, 2.0]], LISTS)
    assert write_ready_vectors(tmp_path / "catalogue.parquet", config, tmp_path)["dim"] == 2


def test_the_key_is_the_content_of_the_file_and_not_its_place(tmp_path):
    def key(config):
        return embed.reads(Config(embed=config))

    assert key(write(tmp_path)) == key(write(tmp_path, name="elsewhere.parquet"))
    assert key(write(tmp_path)) != key(write(tmp_path, vectors=VECTORS + 1))
    with pytest.raises(GenrecError, match="no such file"):
        key(EmbedConfig(method="ready", options={"path": str(tmp_path / "absent")}))


def test_only_ready_needs_no_text():
    assert needs_no_text(EmbedConfig(method="ready"))
    assert not needs_no_text(EmbedConfig(method="lsa"))
