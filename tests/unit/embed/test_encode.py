"""Shards of texts, and their vectors in item order."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import EmbedConfig
from genrec.embed.encode import encode_into, encode_shard, split_texts, write_vectors
from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from tests.support.embed_tiny import catalogue_of, save_tiny

FIELDS = ["title", "brand", "categories", "description"]


def write_catalogue(folder, titles):
    pq.write_table(catalogue_of([{"title": t} for t in titles]), folder / "catalogue.parquet")
    return folder / "catalogue.parquet"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=60), num_shards=st.integers(1, 8))
def test_shards_hold_every_distinct_text_once_and_are_even(tmp_path_factory, lengths, num_shards):
    folder = tmp_path_factory.mktemp("catalogue")
    titles = [f"{i:03d}" + "x" * n for i, n in enumerate(lengths)]
    config = EmbedConfig(method="transformer", fields=["title"])
    shards = split_texts(write_catalogue(folder, titles), config, num_shards)
    assert sorted(text for shard in shards for text in shard) == sorted(f"Title: {t}" for t in titles)
    assert all(shards)
    characters = [sum(map(len, shard)) for shard in shards]
    assert max(characters) - min(characters) <= max(map(len, titles)) + len("Title: ")


def test_vectors_do_not_depend_on_the_number_of_shards(tmp_path, tiny_model):
    titles = ["steel nut", "red lamp", "glue", "steel nut", "box of ten", ""]
    path = write_catalogue(tmp_path, titles)
    config = EmbedConfig(method="transformer", fields=["title"], options={"model": tiny_model})
    written = []
    for num_shards in (1, 3):
        shards = split_texts(path, config, num_shards)
        assert len(shards) == num_shards
        summary = write_vectors(path, config, [encode_shard(texts, config) for texts in shards], tmp_path)
        written.append(read_item_vectors(tmp_path / "vectors.parquet"))
    np.testing.assert_allclose(written[0], written[1], atol=1e-6)
    np.testing.assert_array_equal(written[0][0], written[0][3])
    assert {k: summary[k] for k in ("num_items", "num_texts", "num_empty", "num_zero", "dim")} == {
        "num_items": 6,
        "num_texts": 5,
        "num_empty": 1,
        "num_zero": 0,
        "dim": 16,
    }


def test_an_encoder_that_needs_all_texts_gets_one_shard(tmp_path):
    assert len(split_texts(write_catalogue(tmp_path, ["a", "b", "c"]), EmbedConfig(method="lsa"), 3)) == 1


def test_shards_that_do_not_fit_the_catalogue_are_refused(tmp_path):
    path = write_catalogue(tmp_path, ["a", "b", "c"])
    with pytest.raises(DataError, match="3 distinct texts"):
        write_vectors(path, EmbedConfig(fields=["title"]), [np.ones((2, 4), np.float32)], tmp_path)


def test_vectors_that_are_not_finite_are_refused_by_item(tmp_path):
    path = write_catalogue(tmp_path, ["a", "a", "b"])
    vectors = np.array([[1.0], [np.nan]], dtype=np.float32)
    with pytest.raises(DataError, match="item 2"):
        write_vectors(path, EmbedConfig(fields=["title"]), [vectors], tmp_path)


def test_an_empty_catalogue_is_refused(tmp_path):
    with pytest.raises(DataError, match="empty"):
        split_texts(write_catalogue(tmp_path, []), EmbedConfig(), 2)


def test_a_worker_leaves_its_vectors_in_a_file_bit_by_bit(tmp_path):
    config, seen = EmbedConfig(fields=["title"]), []
    texts = [f"a title of {i} things" for i in range(12)]
    call = {"texts": texts, "config": config}
    file = encode_into(tmp_path / "0.npy", encode_shard, lambda done, total, note="", **_: seen.append(done), **call)
    assert np.load(file, allow_pickle=False).tobytes() == encode_shard(**call).tobytes()
    assert seen
