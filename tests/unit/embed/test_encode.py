"""Pieces of texts, each encoded into a file, and their vectors in item order."""

import errno
import io
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from genrec.config import EmbedConfig
from genrec.embed import encode, plan
from genrec.embed.encode import embed_catalogue, encode_pieces, encode_texts, write_piece
from genrec.embed.join import write_vectors
from genrec.embed.plan import plan_texts
from genrec.embed.vectors import read_item_vectors
from genrec.errors import ConfigError, DataError
from tests.support.embed_tiny import catalogue_of, save_tiny

TITLES = ["steel nut", "red lamp", "glue", "steel nut", "box of ten", "", "drill", "saw", "the pack", "tape"]


def write_catalogue(folder, titles):
    pq.write_table(catalogue_of([{"title": t} for t in titles]), folder / "catalogue.parquet", row_group_size=3)
    return folder / "catalogue.parquet"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


@pytest.fixture
def config(tiny_model) -> EmbedConfig:
    return EmbedConfig(method="transformer", fields=["title"], options={"model": tiny_model})


def _folder(path):
    path.mkdir()
    return path


def test_vectors_are_those_of_each_text_whatever_the_number_of_shards_and_pieces(tmp_path, config, monkeypatch):
    path = write_catalogue(tmp_path, TITLES)
    expected = encode_texts([f"Title: {t}" if t else "" for t in TITLES], config)
    for number, (num_shards, piece) in enumerate([(1, 100), (3, 100), (2, 2), (50, 1)]):
        monkeypatch.setattr(plan, "PIECE_TEXTS", piece)
        work, out = _folder(tmp_path / f"work-{number}"), _folder(tmp_path / f"out-{number}")
        summary = embed_catalogue(path, config.model_copy(update={"num_shards": num_shards}), work, out)
        vectors = read_item_vectors(out / "vectors.parquet")
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
        np.testing.assert_array_equal(vectors[0], vectors[3])
        assert {k: summary[k] for k in ("num_items", "num_texts", "num_empty", "num_zero", "dim")} == {
            "num_items": 10,
            "num_texts": 9,
            "num_empty": 1,
            "num_zero": 0,
            "dim": 16,
        }


def test_a_worker_that_is_killed_loses_the_piece_in_flight_alone(tmp_path, config, monkeypatch):
    monkeypatch.setattr(plan, "PIECE_TEXTS", 2)
    made = plan_texts(write_catalogue(tmp_path, TITLES), config, tmp_path)
    pieces = made.pieces
    assert len(pieces) >= 4
    written = []

    def killed_at_the_third(file, vectors, config):
        if len(written) == 2:
            raise KeyboardInterrupt
        write_piece(file, vectors, config)
        written.append(file)

    monkeypatch.setattr(encode, "write_piece", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        encode_pieces(tmp_path / "catalogue.parquet", config, made, pieces)
    before = [piece.file.stat().st_mtime_ns for piece in pieces[:2]]
    monkeypatch.setattr(encode, "write_piece", lambda file, *more: (written.append(file), write_piece(file, *more)))
    encode_pieces(tmp_path / "catalogue.parquet", config, made, pieces)
    assert written == [piece.file for piece in pieces]
    assert [piece.file.stat().st_mtime_ns for piece in pieces[:2]] == before
    whole = _folder(tmp_path / "whole")
    embed_catalogue(tmp_path / "catalogue.parquet", config, whole, whole)
    write_vectors(made, config, tmp_path)
    assert (tmp_path / "vectors.parquet").read_bytes() == (whole / "vectors.parquet").read_bytes()


def test_a_full_disk_leaves_neither_a_piece_nor_a_part_of_one(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(
        encode.np, "save", lambda opened, *_, **__: Full(opened.fileno(), "w", closefd=False).write(b"x")
    )
    with pytest.raises(OSError, match="No space left"):
        write_piece(tmp_path / "0.npy", np.ones((3, 2), np.float32), EmbedConfig())
    assert list(tmp_path.iterdir()) == []


def test_half_precision_is_half_the_bytes_and_near(tmp_path, config):
    path, sizes, read = write_catalogue(tmp_path, TITLES), [], []
    for number_format in ("float32", "float16"):
        work, out = _folder(tmp_path / number_format), _folder(tmp_path / f"out-{number_format}")
        embed_catalogue(path, config.model_copy(update={"number_format": number_format}), work, out)
        sizes.append(sum(np.load(file).nbytes for file in work.glob("*.npy")))
        read.append(read_item_vectors(out / "vectors.parquet"))
    assert sizes[1] * 2 == sizes[0] > 0
    assert read[1].dtype == np.float32
    assert not np.array_equal(read[0], read[1])
    np.testing.assert_allclose(read[0], read[1], rtol=2**-11, atol=1e-7)


def test_numbers_that_half_precision_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"embed\.number_format: float16 cannot hold 70000.*float32"):
        write_piece(tmp_path / "0.npy", np.array([[1, 7e4]], np.float32), EmbedConfig(number_format="float16"))
    assert list(tmp_path.iterdir()) == []


def test_pieces_that_do_not_fit_the_plan_are_refused(tmp_path):
    config = EmbedConfig(fields=["title"])
    made = plan_texts(write_catalogue(tmp_path, ["a", "b", "c"]), config, tmp_path)
    write_piece(made.pieces[0].file, np.ones((2, 4), np.float32), config)
    with pytest.raises(DataError, match="3 distinct texts"):
        write_vectors(made, config, tmp_path)


def test_vectors_that_are_not_finite_are_refused_by_item(tmp_path):
    config = EmbedConfig(fields=["title"])
    made = plan_texts(write_catalogue(tmp_path, ["a", "a", "b"]), config, tmp_path)
    write_piece(made.pieces[0].file, np.array([[1.0], [np.nan]], np.float32), config)
    with pytest.raises(DataError, match="item 2"):
        write_vectors(made, config, tmp_path)


def test_progress_of_a_worker_counts_the_texts_of_all_its_pieces(tmp_path, config, monkeypatch):
    monkeypatch.setattr(plan, "PIECE_TEXTS", 2)
    made, seen = plan_texts(write_catalogue(tmp_path, TITLES), config, tmp_path), []
    encode_pieces(
        tmp_path / "catalogue.parquet", config, made, made.pieces,
        progress=lambda done, total, note="", **values: seen.append((done, total, values["tokens_per_s"])),
    )  # fmt: skip
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][:2] == (9, 9)
    assert all(speed > 0 for _, _, speed in seen)


def test_a_fit_that_is_killed_leaves_no_encoder_that_looks_whole(tmp_path, monkeypatch):
    lsa = EmbedConfig(method="lsa", options={"dim": 2, "hashed_above": 3})
    catalogue, out = write_catalogue(tmp_path, TITLES), tmp_path / "encoder"
    made = plan_texts(catalogue, lsa, tmp_path)

    def cut(folder, *_):
        (folder / encode.reuse.HISTORY_FILE).touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encode.reuse, "write_history", cut)
        with pytest.raises(KeyboardInterrupt):
            encode.fit_sample(catalogue, lsa, made, out)
    assert not list(out.iterdir())
    encode.fit_sample(catalogue, lsa, made, out)
    assert encode.reuse.read_history(out)["num_since"] == 0
    assert not list(tmp_path.glob("*.partial"))
