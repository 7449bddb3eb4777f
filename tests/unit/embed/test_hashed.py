"""LSA of large catalogues against the exact one."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from genrec.embed import hashed
from genrec.embed.encoders import lsa
from genrec.embed.texts import item_texts

LARGE = {"hashed_above": 0}


def _texts(num_texts: int, seed: int = 0, num_words: int = 60) -> list[str]:
    """Texts of ten topics, each with words of its own."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, 10, num_texts)
    return [" ".join(f"w{t * num_words + w}" for w in rng.zipf(1.5, 12) % num_words) for t in topics]


def _captured(weights, vectors) -> float:
    """Share of the matrix's squares along some orthonormal directions."""
    return float(np.square(weights @ vectors.T).sum() / np.square(weights).sum())


def test_the_singular_vectors_are_the_leading_ones():
    texts = _texts(400)
    model = lsa.fit_sample(texts, len(texts), lsa.Config(dim=8, **LARGE))
    (counts,) = hashed._counted(texts, 2)
    weights = hashed._weighted(counts, hashed._columns(model.buckets), model.idf).toarray()
    exact = np.linalg.svd(weights, full_matrices=False)[2][:8]
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(8), atol=1e-5)
    assert _captured(weights, model.components) > 0.999 * _captured(weights, exact)


def test_the_weights_are_those_of_scikit_learns_tf_idf():
    texts = [*_texts(50), ""]
    options = lsa.Config(max_ngram=1, **LARGE)
    exact, vectorizer = lsa._tf_idf(texts, options)
    model = lsa.fit_sample(texts, len(texts), options)
    assert len(model.buckets) == len(vectorizer.get_feature_names_out())  # no two words in one bucket
    (counts,) = hashed._counted(texts, 1)
    weights = hashed._weighted(counts, hashed._columns(model.buckets), model.idf).toarray()
    np.testing.assert_allclose(np.sort(weights, axis=1), np.sort(exact.toarray(), axis=1), atol=1e-6)


def test_the_size_of_a_block_changes_nothing(monkeypatch):
    texts = _texts(200)
    options = lsa.Config(dim=10, max_ngram=1, **LARGE)  # one for each topic
    whole = lsa.fit_sample(texts, len(texts), options).encode(texts)
    monkeypatch.setattr(hashed, "_BLOCK_TEXTS", 7)
    pieces = lsa.fit_sample(texts, len(texts), options).encode(texts)
    np.testing.assert_allclose(whole @ whole.T, pieces @ pieces.T, atol=1e-3)


def test_the_most_frequent_terms_are_kept():
    frequency = np.zeros(hashed.NUM_BUCKETS, dtype=np.int64)
    frequency[[5, 9, 70, 71]] = [4, 1, 3, 3]
    assert hashed._kept(frequency, 2, 100).tolist() == [5, 70, 71]
    assert hashed._kept(frequency, 2, 2).tolist() == [5, 70]
    assert hashed._kept(frequency, 9, 100).tolist() == [5, 9, 70, 71]


@pytest.mark.parametrize("texts", [[""], ["", "!"], ["nut"], ["nut", ""]])
def test_texts_without_a_word_are_zero_rows(texts):
    vectors = lsa.encode(texts, lsa.Config(dim=4, **LARGE))
    assert vectors.shape[0] == len(texts)
    assert vectors.any(axis=1).tolist() == [bool(text.isalpha()) for text in texts]


def test_a_model_of_a_sample_is_saved_and_encodes_what_it_has_not_seen(tmp_path):
    texts = _texts(600)
    options = lsa.Config(dim=8, fit_texts=300, **LARGE)
    chosen = lsa.sample(len(texts), options)
    assert len(chosen) == 300
    assert (np.diff(chosen) > 0).all()
    model = lsa.fit_sample((texts[i] for i in chosen), 300, options)
    lsa.save_sampled(model, tmp_path)
    vectors = lsa.Model.load(tmp_path).encode(texts)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, lsa.encode(texts, options))
    assert lsa.Model.load(tmp_path).encode([]).shape == (0, 8)


def test_the_sample_is_all_texts_of_a_catalogue_that_is_not_larger():
    options = lsa.Config(hashed_above=10, fit_texts=100)
    assert lsa.sample(10, options) is None
    assert lsa.sample(11, options).tolist() == list(range(11))
    assert lsa.sample(500, options).tolist() == lsa.sample(500, options).tolist()


def test_neighbours_of_real_items_are_as_good_as_the_exact_ones(shared_data):
    catalogue = pq.read_table(shared_data / "scientific" / "items.parquet").slice(0, 600)
    texts, inverse = item_texts(catalogue, ["title", "description"])
    category = np.array([[*c, "", ""][1] for c in catalogue["categories"].to_pylist()])
    agreement = []
    for options in (lsa.Config(dim=64), lsa.Config(dim=64, fit_texts=400, **LARGE)):
        vectors = lsa.encode(texts, options)[inverse]
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -1)
        agreement.append((category[similarity.argmax(axis=1)] == category).mean())
    assert agreement[1] > 0.95 * agreement[0]
