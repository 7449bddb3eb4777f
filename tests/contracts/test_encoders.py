"""Promises of every encoder of texts (`ready` reads vectors: tests/unit/embed/encoders/test_ready.py)."""

import numpy as np
import pytest

from genrec import variants
from genrec.config import EmbedConfig
from genrec.embed.encode import encode_texts, needs_no_text
from genrec.embed.encoders import PACKAGE
from tests.support.embed_tiny import WORDS, save_tiny

ENCODERS = [name for name in variants.names(PACKAGE) if not needs_no_text(EmbedConfig(method=name))]
TEXTS = [" ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(1 + i % 9)) for i in range(40)]


@pytest.fixture(params=[*ENCODERS, "lsa, hashed"])
def config(request, tmp_path) -> EmbedConfig:
    method, _, hashed = request.param.partition(", ")
    options = {"dim": 8} if method == "lsa" else {"model": str(save_tiny(tmp_path / "model"))}
    if hashed:
        options |= {"hashed_above": 0, "fit_texts": 1000}
    return EmbedConfig(method=method, options=options, batch_tokens=64)


def test_one_finite_float32_row_a_text(config):
    vectors = encode_texts(TEXTS, config)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == len(TEXTS)
    assert vectors.shape[1] > 1
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_same_texts_same_bytes(config):
    assert encode_texts(TEXTS, config).tobytes() == encode_texts(TEXTS, config).tobytes()


def test_similarities_do_not_depend_on_the_order_of_texts(config):
    order = np.random.default_rng(0).permutation(len(TEXTS))
    straight, shuffled = encode_texts(TEXTS, config), encode_texts([TEXTS[i] for i in order], config)
    np.testing.assert_allclose((straight @ straight.T)[np.ix_(order, order)], shuffled @ shuffled.T, atol=1e-4)


def test_different_texts_get_different_vectors(config):
    distinct = list(dict.fromkeys(TEXTS))
    vectors = encode_texts(distinct, config)
    similarity = vectors @ vectors.T - np.eye(len(vectors)) * 2
    assert np.median(similarity.max(axis=1)) < 0.9999


@pytest.mark.parametrize("texts", [[""], ["", ""], ["nut"], ["nut", ""], ["nut nut", "nut nut"]])
def test_empty_few_and_equal_texts_are_encoded(config, texts):
    vectors = encode_texts(texts, config)
    assert vectors.shape[0] == len(texts)
    assert np.isfinite(vectors).all()


def test_progress_ends_at_the_total(config):
    calls = []
    encode_texts(TEXTS, config, progress=lambda done, total, note="", **values: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1]
