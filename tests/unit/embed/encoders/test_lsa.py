"""The LSA encoder against what TF-IDF and the SVD must give."""

import numpy as np
import pyarrow.parquet as pq

from genrec.embed.encoders import lsa
from genrec.embed.texts import item_texts


def test_terms_are_words_and_pairs_that_cross_neither_lines_nor_categories():
    text = "Title: Red Lamp\nCategories: attribute 1 > attribute 2"
    assert lsa.terms(text, 2) == [
        "red",
        "lamp",
        "red lamp",
        "attribute",
        "1",
        "attribute 1",
        "attribute",
        "2",
        "attribute 2",
    ]


def test_a_word_equal_to_a_field_label_counts_inside_a_field():
    assert lsa.terms("Title: brand new title: x", 1) == ["brand", "new", "title", "x"]


def test_similar_texts_are_nearer_than_others():
    tools = [f"steel {w} for {m} bolts" for w in ("nut", "screw", "washer") for m in ("m4", "m5", "m6")]
    lamps = [f"warm {w} lamp with {m} watt" for w in ("desk", "floor", "wall") for m in ("5", "7", "9")]
    vectors = lsa.encode(tools + lamps, lsa.Config(dim=4))
    similarity = vectors @ vectors.T
    assert similarity[:9, :9].min() > similarity[:9, 9:].max()


def test_full_rank_keeps_the_cosine_of_tf_idf():
    texts = ["a b c", "a b d", "c d e", "e f a", "b f f"]
    options = lsa.Config(dim=100, min_texts=1)
    weights = lsa._tf_idf(texts, options)[0].toarray()
    vectors = lsa.encode(texts, options)
    np.testing.assert_allclose(vectors @ vectors.T, weights @ weights.T, atol=1e-5)


def test_truncation_keeps_the_leading_singular_directions():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice([f"w{i}" for i in range(30)], 12)) for _ in range(60)]
    options = lsa.Config(dim=5, max_ngram=1)
    weights = lsa._tf_idf(texts, options)[0].toarray()
    u, s, _ = np.linalg.svd(weights)
    expected = u[:, :5] * s[:5]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = lsa.encode(texts, options)
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-3)


def test_a_text_without_a_kept_term_is_a_zero_row():
    vectors = lsa.encode(["x y z"] * 30 + ["lonely"] + ["z y"] * 10 + [""], lsa.Config(dim=2))
    assert not vectors[30].any()
    assert not vectors[-1].any()
    np.testing.assert_allclose(np.linalg.norm(vectors[:30], axis=1), 1, rtol=1e-5)


def test_rare_terms_are_kept_where_there_are_no_others():
    vectors = lsa.encode(["alpha", "beta", "gamma"], lsa.Config())
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(3), atol=1e-5)


def test_fewer_independent_texts_than_dimensions():
    vectors = lsa.encode([f"w{i % 5} v{i % 5} z" for i in range(300)], lsa.Config(dim=10))
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[:5], vectors[5:10], atol=1e-5)


def test_real_items_of_one_category_lie_closer_than_chance(shared_data):
    catalogue = pq.read_table(shared_data / "scientific" / "items.parquet").slice(0, 600)
    texts, inverse = item_texts(catalogue, ["title", "description"])  # categories are the answer, not the question
    vectors = lsa.encode(texts, lsa.Config(dim=64))[inverse]
    category = np.array([[*c, "", ""][1] for c in catalogue["categories"].to_pylist()])
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    agreement = (category[similarity.argmax(axis=1)] == category).mean()
    chance = (category[:, None] == category).mean()
    assert agreement > 3 * chance
