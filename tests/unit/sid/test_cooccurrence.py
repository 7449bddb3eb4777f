"""Co-occurrence counts and their PPMI embedding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.sid.cooccurrence import cooccurrence_counts, ppmi, ppmi_embedding
from tests.support.sid_samples import write_train


def test_counts_are_inverse_distances_within_the_window_and_a_sequence(tmp_path):
    path = write_train(tmp_path, [[0, 1, 2, 3], [3, 0], [], [2, 2]])
    counts = cooccurrence_counts(path, 5, window=2).toarray()
    expected = np.zeros((5, 5))
    for a, b, weight in [(0, 1, 1), (1, 2, 1), (2, 3, 1), (0, 2, 0.5), (1, 3, 0.5), (3, 0, 1)]:
        expected[a, b] += weight
        expected[b, a] += weight
    np.testing.assert_allclose(counts, expected)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 5), max_size=7), max_size=6), st.integers(1, 9))
def test_counts_are_those_of_two_plain_loops(tmp_path_factory, sequences, window):
    path = write_train(tmp_path_factory.mktemp("train"), sequences)
    expected = np.zeros((6, 6))
    for sequence in sequences:
        for i, a in enumerate(sequence):
            for distance, b in enumerate(sequence[i + 1 : i + 1 + window], start=1):
                if a != b:
                    expected[a, b] += 1 / distance
                    expected[b, a] += 1 / distance
    np.testing.assert_allclose(cooccurrence_counts(path, 6, window).toarray(), expected)


def test_an_item_outside_the_catalogue_is_named(tmp_path):
    with pytest.raises(DataError, match="item 7 in a catalogue of 5"):
        cooccurrence_counts(write_train(tmp_path, [[0, 7]]), 5, 2)


def test_ppmi_is_the_positive_logarithm_of_observed_to_expected(tmp_path):
    counts = cooccurrence_counts(write_train(tmp_path, [[0, 1], [0, 1], [2, 3], [0, 2]]), 4, window=1)
    dense, totals = counts.toarray(), counts.toarray().sum(1)
    contexts = totals**0.75
    with np.errstate(divide="ignore"):
        expected = np.log(dense / dense.sum() / np.outer(totals / totals.sum(), contexts / contexts.sum()))
    np.testing.assert_allclose(ppmi(counts, 0.75).toarray(), np.maximum(expected, 0), atol=1e-12)


def test_items_bought_together_lie_close_and_lonely_ones_at_zero(tmp_path):
    rng = np.random.default_rng(0)
    sequences = [rng.permutation(np.arange(10) + 10 * (i % 3)).tolist() for i in range(60)]
    counts = cooccurrence_counts(write_train(tmp_path, sequences), 31, window=5)
    vectors = ppmi_embedding(counts, 8, 0.75)
    assert vectors.dtype == np.float32
    assert not vectors[30].any()
    unit = vectors[:30] / np.linalg.norm(vectors[:30], axis=1, keepdims=True)
    similar, group = unit @ unit.T, np.arange(30) // 10
    same = group[:, None] == group
    assert similar[same].mean() > 0.5
    assert abs(similar[~same].mean()) < 0.1


def test_the_embedding_of_all_dimensions_is_that_of_arpack(tmp_path):
    sequences = np.random.default_rng(0).integers(0, 30, (40, 8)).tolist()
    counts = cooccurrence_counts(write_train(tmp_path, sequences), 30, window=3)
    whole, part = ppmi_embedding(counts, 30, 0.75), ppmi_embedding(counts, 6, 0.75)
    np.testing.assert_allclose(part, whole[:, :6], atol=1e-4)
    assert ppmi_embedding(counts, 6, 0.75).tobytes() == part.tobytes()
