"""The fast greedy choice is the greedy choice by determinants."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.rank.rerank import dpp
from genrec.rank.rerank.parts.greedy import chosen


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 9), k=st.integers(1, 9), weight=st.floats(0, 0.95))
def test_fast_greedy_equals_greedy_by_determinants(seed, width, k, weight):
    generator = np.random.default_rng(seed)
    relevance = generator.random((1, width)).astype(np.float32)
    vectors = generator.standard_normal((1, width, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    place = chosen(dpp.Worth(relevance, vectors, weight), np.ones((1, width), dtype=bool), k)[0]
    similarity = (1 + vectors[0].astype(np.float64) @ vectors[0].T.astype(np.float64)) / 2
    taken: list[int] = []
    while len(taken) < min(k, width):
        left = [i for i in range(width) if i not in taken]
        value = {i: _log_probability([*taken, i], relevance[0], similarity, weight) for i in left}
        given = int(np.flatnonzero(place == len(taken))[0])
        assert value[given] >= max(value.values()) - 1e-4
        taken.append(given)
    assert (place >= 0).sum() == len(taken)


def _log_probability(items, relevance, similarity, weight):
    volume = np.linalg.slogdet(similarity[np.ix_(items, items)])[1]
    return weight * float(relevance[items].sum()) + (1 - weight) * volume


def test_copies_come_after_all_that_adds_volume():
    vectors = np.array([[[1, 0], [1, 0], [1, 0], [0, 1]]], dtype=np.float32)
    relevance = np.array([[1.0, 0.9, 0.8, 0.0]], dtype=np.float32)
    place = chosen(dpp.Worth(relevance, vectors, 0.6), np.ones((1, 4), dtype=bool), 4)
    assert place.tolist() == [[0, 2, 3, 1]]
