"""The files of the stage, what it refuses, and the second fit."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.config import SidConfig
from genrec.embed.vectors import write_item_vectors
from genrec.errors import DataError
from genrec.sid.assign import assign
from genrec.sid.quality import collision_rate
from genrec.sid.tokenizer_files import load_tokenizer
from genrec.tables import sids_schema
from tests.support.sid_samples import clustered, write_inputs

CODES = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 2], [3, 1, 2], [0, 0, 1]], dtype=np.int32)


def test_the_stage_writes_what_the_schema_declares(tmp_path):
    vectors = np.repeat(clustered(50, 6, 10, seed=0), 2, axis=0)  # every item twice: collisions are certain
    inputs = write_inputs(tmp_path, vectors)
    summary = assign(*inputs, SidConfig(num_levels=3, num_codes=8), 0, tmp_path, device="cpu")
    table = pq.read_table(tmp_path / "sids.parquet")
    assert table.schema.equals(sids_schema(3))
    sids = np.stack(table["sid"].to_numpy())
    raw = np.stack(table["raw"].to_numpy())
    assert collision_rate(sids) == 0
    assert summary["collision_rate_raw"] == collision_rate(raw) == 1.0
    np.testing.assert_array_equal(load_tokenizer(tmp_path, "cpu").encode(vectors), raw)
    report = json.loads((tmp_path / "quality.json").read_text())
    assert report["moved_share"] == summary["moved_share"] >= 0.5
    assert report["reconstruction_error"][-1] == summary["reconstruction_error"]
    assert report["reconstruction_error"][-1] >= report["reconstruction_error_raw"][-1]


def test_the_stage_names_inputs_it_cannot_use(tmp_path):
    config = SidConfig(num_codes=4, num_levels=2)
    vectors_path, catalogue_path = write_inputs(tmp_path, clustered(10, 4, 3, seed=0))
    write_item_vectors(np.array([[1.0], [np.nan]], np.float32), vectors_path)
    with pytest.raises(DataError, match=r"vectors\.parquet: the vector of item 1 is not finite"):
        assign(vectors_path, catalogue_path, config, 0, tmp_path)
    write_item_vectors(np.ones((9, 2), np.float32), vectors_path)
    with pytest.raises(DataError, match=r"9 vectors for the 10 items"):
        assign(vectors_path, catalogue_path, config, 0, tmp_path)
    write_item_vectors(np.ones((0, 2), np.float32), vectors_path)
    with pytest.raises(DataError, match="no items"):
        assign(vectors_path, catalogue_path, config, 0, tmp_path)
    many = write_inputs(tmp_path, clustered(17, 4, 3, seed=0))
    with pytest.raises(DataError, match="17 items need unique ids"):
        assign(*many, config, 0, tmp_path)
    with pytest.raises(DataError, match="no such file"):
        assign(tmp_path / "absent.parquet", many[1], config, 0, tmp_path)


def test_real_items_that_share_two_codes_share_their_category(shared_data, tmp_path):
    from genrec.embed.encoders import lsa
    from genrec.embed.texts import item_texts

    catalogue = pq.read_table(shared_data / "scientific" / "items.parquet").slice(0, 1000)
    texts, inverse = item_texts(catalogue, ["title", "categories"])
    write_item_vectors(lsa.encode(texts, lsa.Config(dim=48))[inverse], tmp_path / "vectors.parquet")
    pq.write_table(catalogue, tmp_path / "catalogue.parquet")
    assign(tmp_path / "vectors.parquet", tmp_path / "catalogue.parquet", SidConfig(num_codes=32), 0, tmp_path)
    sids = np.stack(pq.read_table(tmp_path / "sids.parquet")["sid"].to_numpy())
    category = np.array([[*c, "", "", ""][2] for c in catalogue["categories"].to_pylist()])
    same = category[:, None] == category
    shares = (sids[:, None, :2] == sids[None, :, :2]).all(axis=2)
    np.fill_diagonal(shares, False)
    assert same[shares].mean() > 5 * same.mean()


def test_the_vectors_schema_is_kept_by_arrow(tmp_path):
    write_item_vectors(np.ones((3, 5), np.float32), tmp_path / "vectors.parquet")
    assert pq.read_table(tmp_path / "vectors.parquet").schema.field("vector").type == pa.list_(pa.float32(), 5)


def test_the_stage_reports_everything(tmp_path):
    inputs = write_inputs(tmp_path, clustered(60, 6, 10, seed=0))
    assign(*inputs, SidConfig(num_levels=3, num_codes=8), 0, tmp_path, device="cpu")
    report = json.loads((tmp_path / "quality.json").read_text())
    assert report["churn"]["num_items"] == 54
    assert report["held_out"]["num_items"] == 6
    assert {"cluster_sizes", "fan_out", "prefix_agreement", "sequence_length", "examples"} <= report.keys()


def test_the_second_fit_changes_no_id(tmp_path):
    inputs = write_inputs(tmp_path, clustered(60, 6, 10, seed=0))
    written = []
    for refit in (True, False):
        assign(*inputs, SidConfig(num_codes=8, refit=refit), 0, tmp_path, device="cpu")
        written.append((tmp_path / "sids.parquet").read_bytes())
    assert written[0] == written[1]
