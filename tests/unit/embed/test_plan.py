"""What is to be encoded, cut into pieces."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.config import EmbedConfig
from genrec.embed import plan
from genrec.embed.plan import plan_texts, read_numbers
from genrec.embed.text_index import read_texts
from genrec.errors import DataError
from tests.support.embed_tiny import catalogue_of


def _catalogue(folder, titles):
    pq.write_table(catalogue_of([{"title": t} for t in titles]), folder / "catalogue.parquet")
    return folder / "catalogue.parquet"


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=60),
    num_shards=st.integers(1, 8),
    most=st.integers(1, 70),
)
def test_pieces_hold_every_distinct_text_once_and_are_even(tmp_path_factory, lengths, num_shards, most):
    folder = tmp_path_factory.mktemp("catalogue")
    path = _catalogue(folder, [f"{i:03d}" + "x" * n for i, n in enumerate(lengths)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PIECE_TEXTS", most)
        made = plan_texts(path, EmbedConfig(method="transformer", fields=["title"], num_shards=num_shards), folder)
    edges = [piece.start for piece in made.pieces] + [made.pieces[-1].stop]
    assert edges[0] == 0
    assert edges[-1] == len(lengths)
    assert [piece.stop for piece in made.pieces[:-1]] == edges[1:-1]
    assert len({piece.file for piece in made.pieces}) == len(made.pieces)
    assert all(made.shards)
    assert len(made.shards) <= num_shards
    texts = list(read_texts(path, ["title"], read_numbers(made).new_items))
    size = [len(text) + sum(map(len, texts)) / len(texts) + 1 for text in texts]
    sizes = [sum(size[piece.start : piece.stop]) for piece in made.pieces]
    assert max(sizes) <= sum(size) / max(num_shards, len(texts) / most) + 2 * max(size)


def test_pieces_have_one_file_only_where_they_hold_the_same_texts(tmp_path):
    config = EmbedConfig(method="transformer", fields=["title"])
    path = _catalogue(tmp_path, [f"title {i}" for i in range(12)])
    made = [plan_texts(path, config.model_copy(update={"num_shards": n}), tmp_path, "a").pieces for n in (2, 3, 4, 5)]
    texts_of_file: dict = {}
    for piece in (piece for pieces in made for piece in pieces):
        assert texts_of_file.setdefault(piece.file, piece[:2]) == piece[:2]
    assert len(set(texts_of_file.values())) == len(texts_of_file)


def test_an_encoder_that_needs_all_texts_gets_one_piece(tmp_path):
    made = plan_texts(_catalogue(tmp_path, ["a", "b", "c", "b"]), EmbedConfig(method="lsa", num_shards=3), tmp_path)
    assert [(piece.start, piece.stop) for piece in made.pieces] == [(0, 3)]


def test_a_large_catalogue_is_cut_for_an_encoder_that_is_fitted_on_a_sample(tmp_path):
    config = EmbedConfig(method="lsa", num_shards=3, options={"hashed_above": 2})
    made = plan_texts(_catalogue(tmp_path, ["a", "b", "c", "b"]), config, tmp_path)
    assert [(piece.start, piece.stop) for piece in made.pieces] == [(0, 1), (1, 2), (2, 3)]


def test_what_is_known_of_the_texts(tmp_path):
    made = plan_texts(_catalogue(tmp_path, ["ab", "", "ab", ""]), EmbedConfig(fields=["title"]), tmp_path)
    assert (made.num_items, made.num_texts, made.num_new, made.num_empty) == (4, 2, 2, 2)
    assert made.mean_characters == 2 * len("Title: ab") / 4
    numbers = read_numbers(made)
    assert numbers.text_of_item.tolist() == [0, 1, 0, 1]
    assert numbers.new_items.tolist() == [0, 1]
    assert numbers.place.dtype == np.int32


def test_an_empty_catalogue_is_refused(tmp_path):
    with pytest.raises(DataError, match="empty"):
        plan_texts(_catalogue(tmp_path, []), EmbedConfig(), tmp_path)
