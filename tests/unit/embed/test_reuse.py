"""Only new texts are embedded; a fitted encoder stays as it was fitted until too much is new."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from genrec.config import EmbedConfig
from genrec.embed import reuse
from genrec.embed.encode import encode_shard, split_texts, write_vectors
from genrec.embed.encoders import lsa
from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from genrec.progress import silent
from tests.support.embed_tiny import WORDS, catalogue_of, save_tiny

TITLES = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(2 + i % 6)) + f" m{i % 5}" for i in range(60)]


def _catalogue(path, titles):
    pq.write_table(catalogue_of([{"title": t} for t in titles]), path)
    return path


def _first(folder, config, titles):
    """A first artifact of these titles; its folder and its catalogue."""
    catalogue = _catalogue(folder / "old.parquet", titles)
    out = folder / "first"
    out.mkdir()
    shards = split_texts(catalogue, config, 2)
    if reuse.is_fitted(config):
        vectors = [reuse.fit_encoder(texts, config, out, silent) for texts in shards]
    else:
        vectors = [encode_shard(texts, config) for texts in shards]
    write_vectors(catalogue, config, vectors, out)
    return out, catalogue


def _next(folder, config, titles, before, share=0.5):
    """The next artifact, and the texts that were encoded for it."""
    catalogue = _catalogue(folder / "new.parquet", titles)
    reused = reuse.known_vectors(catalogue, config, *before, share)
    assert not isinstance(reused, str), reused
    shards = split_texts(catalogue, config, 2, reused)
    if reuse.is_fitted(config):
        vectors = [reuse.fold_in(texts, config, reused.encoder, silent) for texts in shards]
    else:
        vectors = [encode_shard(texts, config) for texts in shards]
    out = folder / "second"
    out.mkdir()
    summary = write_vectors(catalogue, config, vectors, out, reused)
    reuse.keep_encoder(reused, config, out)
    return out, summary, [text for shard in shards for text in shard]


@pytest.fixture(params=["lsa", "transformer"])
def config(request, tmp_path) -> EmbedConfig:
    options = {"dim": 8} if request.param == "lsa" else {"model": str(save_tiny(tmp_path / "model"))}
    return EmbedConfig(method=request.param, options=options, batch_tokens=64)


def test_only_new_texts_are_encoded_and_known_vectors_stay_to_the_bit(config, tmp_path):
    before = _first(tmp_path, config, TITLES[:50])
    titles = [*TITLES[55:], *TITLES[:50][::-1], TITLES[51]]  # another order, so other item numbers
    out, summary, encoded = _next(tmp_path, config, titles, before)
    assert sorted(encoded) == sorted({f"Title: {t}" for t in titles} - {f"Title: {t}" for t in TITLES[:50]})
    assert summary["num_encoded"] == len(encoded)
    old, new = read_item_vectors(before[0] / "vectors.parquet"), read_item_vectors(out / "vectors.parquet")
    np.testing.assert_array_equal(new[5:55], old[::-1])
    assert len(new) == len(titles)
    assert np.isfinite(new).all()


def test_a_catalogue_without_new_texts_encodes_nothing(config, tmp_path):
    before = _first(tmp_path, config, TITLES[:20])
    out, summary, encoded = _next(tmp_path, config, TITLES[3:17], before)
    assert (encoded, summary["num_encoded"]) == ([], 0)
    np.testing.assert_array_equal(
        read_item_vectors(out / "vectors.parquet"), read_item_vectors(before[0] / "vectors.parquet")[3:17]
    )


def test_a_changed_text_gets_a_new_vector(config, tmp_path):
    before = _first(tmp_path, config, TITLES[:20])
    out, _, encoded = _next(tmp_path, config, ["steel saw lamp", *TITLES[1:20]], before)
    assert encoded == ["Title: steel saw lamp"]
    old, new = read_item_vectors(before[0] / "vectors.parquet"), read_item_vectors(out / "vectors.parquet")
    assert not np.allclose(new[0], old[0])
    np.testing.assert_array_equal(new[1:], old[1:])


def test_folding_in_a_text_that_was_fitted_gives_its_vector(tmp_path):
    vectors, model = lsa.fit(TITLES, lsa.Config(dim=8))
    model.save(tmp_path)
    np.testing.assert_allclose(lsa.Model.load(tmp_path).encode(TITLES[7:9]), vectors[7:9], atol=1e-6)
    assert not lsa.Model.load(tmp_path).encode(["xyzzy"]).any()
    assert lsa.Model.load(tmp_path).encode([]).shape == (0, 8)


def test_the_encoder_is_fitted_anew_once_too_much_is_new_counted_over_all_days(tmp_path):
    config = EmbedConfig(options={"dim": 4})
    before = _first(tmp_path, config, TITLES[:40])
    out, _, _ = _next(tmp_path, config, TITLES[:48], before, share=0.3)
    assert json.loads((out / reuse.HISTORY_FILE).read_text()) == {"num_fitted": 40, "num_since": 8}
    day = (out, tmp_path / "new.parquet")
    third = _catalogue(tmp_path / "third.parquet", TITLES)
    assert not isinstance(reuse.known_vectors(third, config, *day, 0.34), str)
    why = reuse.known_vectors(third, config, *day, 0.33)
    assert why == "33% of the texts are none that the encoder was fitted on (limit 33%)"


def test_a_damaged_encoder_is_named(tmp_path):
    config = EmbedConfig(options={"dim": 4})
    first, _ = _first(tmp_path, config, TITLES[:40])
    (first / lsa.MODEL_FILE).write_bytes(b"nothing")
    with pytest.raises(DataError, match="no saved text encoder"):
        reuse.fold_in(["x"], config, first, silent)


def test_an_error_that_is_no_damage_passes(tmp_path, monkeypatch):
    config = EmbedConfig(options={"dim": 4})
    first, _ = _first(tmp_path, config, TITLES[:40])

    def fail(path):
        raise PermissionError(path)

    monkeypatch.setattr(lsa, "load_file", fail)
    with pytest.raises(PermissionError):
        reuse.fold_in(["x"], config, first, silent)
