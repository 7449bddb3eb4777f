"""Quality figures against hand-counted ids, and the sid stage's files and errors."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genrec.config import SidConfig
from genrec.embed.vectors import write_item_vectors
from genrec.errors import DataError
from genrec.sid.assign import assign
from genrec.sid.neighbours import cooccurrence_neighbours, prefix_agreement, text_neighbours
from genrec.sid.quality import collision_rate, fan_out, perplexity, quality_report, utilization
from genrec.sid.spread import cluster_sizes, popularity_spread, sequence_length
from genrec.sid.tokenizer_files import load_tokenizer
from genrec.tables import sids_schema
from tests.support.embed_tiny import catalogue_of
from tests.support.sid_samples import clustered, write_inputs

CODES = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 2], [3, 1, 2], [0, 0, 1]], dtype=np.int32)


def test_collision_rate_counts_items_that_share_an_id():
    assert collision_rate(CODES) == pytest.approx(2 / 5)
    assert collision_rate(np.unique(CODES, axis=0)) == 0


def test_utilization_is_the_share_of_codes_in_use():
    assert utilization(CODES, 4) == [2 / 4, 2 / 4, 3 / 4]


def test_perplexity_of_equal_use_is_the_number_of_codes():
    assert perplexity(np.array([[0], [1], [5], [6]])) == pytest.approx([4])
    assert perplexity(np.zeros((9, 1), dtype=int)) == pytest.approx([1])
    share = np.array([0.75, 0.25])
    assert perplexity(np.array([[2], [2], [2], [0]])) == pytest.approx([np.exp(-(share * np.log(share)).sum())])


def test_fan_out_counts_the_codes_that_follow_a_prefix():
    assert fan_out(CODES) == [
        {"mean": 2.0, "median": 2.0, "max": 2},
        {"mean": 1.5, "median": 1.5, "max": 2},
        {"mean": pytest.approx(4 / 3), "median": 1.0, "max": 2},
    ]


def test_the_report_shows_moves_cells_and_items_that_share_a_prefix():
    final = CODES.copy()
    final[1] = [0, 0, 3]
    catalogue = catalogue_of([{"title": f"T{i}"} for i in range(4)] + [{"categories": ["a", "b"]}])
    report = quality_report(CODES, final, 4, np.ones(3), np.ones(3), catalogue)
    json.dumps(report)
    assert (report["collision_rate_raw"], report["collision_rate"]) == (0.4, 0.0)
    assert report["moved_share"] == pytest.approx(0.2)
    assert report["moved_share_by_level"] == pytest.approx([0, 0, 0.2])
    assert report["distinct_ids_raw"] == 4
    assert report["largest_collision"] == 2
    assert report["largest_cells"][0] == {
        "depth": 1,
        "cells": [{"prefix": [0], "num_items": 4}, {"prefix": [3], "num_items": 1}],
    }
    shown = report["examples"][1]["prefixes"]
    assert [(e["prefix"], e["num_items"]) for e in shown] == [([0, 0], 3)]
    assert [(i["item_id"], i["sid"], i["title"]) for i in shown[0]["items"]] == [
        ("i0", [0, 0, 0], "T0"),
        ("i1", [0, 0, 3], "T1"),
        ("i4", [0, 0, 1], "a > b"),
    ]


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


def test_neighbours_that_share_codes_are_counted():
    from scipy import sparse

    codes = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    text = np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    counts = sparse.csr_array(np.array([[0, 0, 0, 2], [0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0]], float))
    items, neighbours = text_neighbours(text, np.array([0, 1]), k=1)
    assert (items.tolist(), neighbours.tolist()) == ([0, 1], [1, 0])
    items, neighbours = cooccurrence_neighbours(counts, np.array([0, 1, 2]))
    assert dict(zip(items.tolist(), neighbours.tolist(), strict=True)) == {0: 3, 1: 2, 2: 1}
    found = prefix_agreement(codes, text, counts)
    assert found["cooccurrence"] == [0.5, 0.0]  # 0-3 and back: no; 1-2 and back: the first code
    assert found["chance"] == [pytest.approx(3 / 6), pytest.approx(1 / 6)]
    assert len(found["text"]) == 2


def test_copies_and_zero_vectors_do_not_break_the_neighbours():
    vectors = np.concatenate([np.ones((5, 3)), np.zeros((2, 3)), [[0, 0, 1]]]).astype(np.float32)
    items, neighbours = text_neighbours(vectors, np.array([0, 1, 2, 3, 4, 7]), k=3)
    assert (items != neighbours).all()
    assert not np.isin(neighbours, [5, 6]).any()
    assert np.bincount(items, minlength=8).max() == 3
    assert prefix_agreement(CODES, np.zeros((5, 2), np.float32))["text"] == []


def test_agreement_of_neighbours_is_above_chance_for_learned_ids_only():
    vectors = clustered(400, 8, 20, seed=0)
    first = np.square(vectors[:, None] - vectors[None, ::20]).sum(-1).argmin(1)
    learned = prefix_agreement(np.column_stack([first, first]), vectors)
    shuffled = prefix_agreement(np.random.default_rng(0).permutation(np.column_stack([first, first])), vectors)
    assert learned["text"][0] > 5 * learned["chance"][0]
    assert shuffled["text"][0] == pytest.approx(shuffled["chance"][0], abs=0.03)


def test_cluster_sizes_count_codes_by_powers_of_two():
    codes = np.repeat([0, 1, 2], [1, 3, 6])[:, None]
    assert cluster_sizes(codes, 4) == [
        {"min": 0, "median": 2.0, "max": 6, "histogram": {"0": 1, "1": 1, "2-3": 1, "4-7": 1}}
    ]


def test_popularity_is_even_or_all_in_one_prefix():
    codes = np.column_stack([np.arange(10), np.zeros(10, int)])
    even = popularity_spread(codes, np.full(10, 7))[0]
    assert even["gini"] == pytest.approx(0, abs=1e-9)
    assert even["top_10_percent_share"] == pytest.approx(0.1)
    np.testing.assert_allclose(even["curve"], np.linspace(0, 1, 21))
    one = popularity_spread(codes, np.array([5] + [0] * 9))[0]
    assert one["gini"] == pytest.approx(0.9)
    assert one["largest_share"] == 1.0
    assert popularity_spread(codes, np.zeros(10, int))[1]["largest_share"] == 0


def test_sequences_are_shorter_by_ids_than_by_words():
    catalogue = catalogue_of([{"title": "Steel nut, 10 mm"}, {"title": "Lamp", "categories": ["Home", "Light"]}])
    found = sequence_length(catalogue, 3)
    assert found["text_tokens_mean"] == pytest.approx((5 + 4) / 2)  # Steel nut , 10 mm; Lamp Home > Light
    assert found["shortened_by"] == pytest.approx(1 - 3 / 4.5)
    assert sequence_length(catalogue_of([{}]), 3)["shortened_by"] == 0


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
