"""Only new texts are embedded; a fitted encoder stays as it was fitted until too much is new."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from genrec.config import EmbedConfig
from genrec.embed import reuse
from genrec.embed.encode import embed_catalogue
from genrec.embed.encoders import lsa
from genrec.embed.plan import Previous, plan_texts, read_numbers
from genrec.embed.text_index import index_texts, read_texts
from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from tests.support.embed_tiny import WORDS, catalogue_of, save_tiny

TITLES = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(2 + i % 6)) + f" m{i % 5}" for i in range(60)]


def _catalogue(path, titles):
    pq.write_table(catalogue_of([{"title": t} for t in titles]), path)
    return path


def _first(folder, config, titles):
    """A first artifact of these titles; its folder and its catalogue."""
    catalogue = _catalogue(folder / "old.parquet", titles)
    out, work = folder / "first", folder / "first work"
    out.mkdir()
    work.mkdir()
    embed_catalogue(catalogue, config, work, out)
    return Previous(out, catalogue)


def _next(folder, config, titles, before):
    """The next artifact, and the texts that were encoded for it."""
    catalogue = _catalogue(folder / "new.parquet", titles)
    out, work = folder / "second", folder / "second work"
    out.mkdir()
    work.mkdir()
    plan = plan_texts(catalogue, config, work, previous=before)
    assert plan.vectors == before.folder / "vectors.parquet"
    summary = embed_catalogue(catalogue, config, work, out, before)
    return out, summary, list(read_texts(catalogue, config.fields, read_numbers(plan).new_items))


OPTIONS = {"lsa": {"dim": 8}, "lsa, hashed": {"dim": 8, "hashed_above": 0}, "transformer": {}}


@pytest.fixture(params=OPTIONS)
def config(request, tmp_path) -> EmbedConfig:
    method = request.param.partition(",")[0]
    options = OPTIONS[request.param] if method == "lsa" else {"model": str(save_tiny(tmp_path / "model"))}
    return EmbedConfig(method=method, options=options, batch_tokens=64)


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
    out, _, _ = _next(tmp_path, config, TITLES[:48], before)
    assert json.loads((out / reuse.HISTORY_FILE).read_text()) == {"num_fitted": 40, "num_since": 8}
    day = (out, tmp_path / "new.parquet")
    third = index_texts(_catalogue(tmp_path / "third.parquet", TITLES), config.fields)
    assert not isinstance(reuse.known_texts(third, config, *day, 0.34), str)
    why = reuse.known_texts(third, config, *day, 0.33)
    assert why == "33% of the texts are none that the encoder was fitted on (limit 33%)"


def test_a_damaged_encoder_is_named(tmp_path):
    config = EmbedConfig(options={"dim": 4})
    first, _ = _first(tmp_path, config, TITLES[:40])
    (first / lsa.MODEL_FILE).write_bytes(b"nothing")
    with pytest.raises(DataError, match="no saved text encoder"):
        lsa.Model.load(first)


def test_an_error_that_is_no_damage_passes(tmp_path, monkeypatch):
    config = EmbedConfig(options={"dim": 4})
    first, _ = _first(tmp_path, config, TITLES[:40])

    def fail(path):
        raise PermissionError(path)

    monkeypatch.setattr(lsa, "load_file", fail)
    with pytest.raises(PermissionError):
        lsa.Model.load(first)
