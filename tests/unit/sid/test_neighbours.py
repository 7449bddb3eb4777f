"""Whether neighbours share their codes."""

import numpy as np
import pytest

from genrec.sid.neighbours import cooccurrence_neighbours, prefix_agreement, text_neighbours
from tests.support.sid_samples import clustered

CODES = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 2], [3, 1, 2], [0, 0, 1]], dtype=np.int32)


def test_neighbours_that_share_codes_are_counted():
    from scipy import sparse

    codes = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    text = np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    counts = sparse.csr_array(np.array([[0, 0, 0, 2], [0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0]], float))
    items, neighbours = text_neighbours(text, np.array([0, 1]), k=1)
    assert (items.tolist(), neighbours.tolist()) == ([0, 1], [1, 0])
    items, neighbours = cooccurrence_neighbours(counts, np.array([0, 1, 2]))
    assert dict(zip(items.tolist(), neighbours.tolist(), strict=True)) == {0: 3, 1: 2, 2: 1}
    shares = prefix_agreement(codes, text, counts)
    assert shares["cooccurrence"] == [0.5, 0.0]  # 0-3 and back: no; 1-2 and back: the first code
    assert shares["chance"] == [pytest.approx(3 / 6), pytest.approx(1 / 6)]
    assert len(shares["text"]) == 2


def test_copies_and_zero_vectors_do_not_break_the_neighbours():
    vectors = np.concatenate([np.ones((5, 3)), np.zeros((2, 3)), [[0, 0, 1]]]).astype(np.float32)
    items, neighbours = text_neighbours(vectors, np.array([0, 1, 2, 3, 4, 7]), k=3)
    assert (items != neighbours).all()
    assert not np.isin(neighbours, [5, 6]).any()
    assert np.bincount(items, minlength=8).max() == 3
    assert prefix_agreement(CODES, np.zeros((5, 2), np.float32))["text"] == []


def test_agreement_of_neighbours_is_above_chance_for_learned_ids_only():
    vectors = clustered(400, 8, 20, seed=0)
    first = np.square(vectors[:, None] - vectors[None, ::20]).sum(-1).argmin(1)
    learned = prefix_agreement(np.column_stack([first, first]), vectors)
    shuffled = prefix_agreement(np.random.default_rng(0).permutation(np.column_stack([first, first])), vectors)
    assert learned["text"][0] > 5 * learned["chance"][0]
    assert shuffled["text"][0] == pytest.approx(shuffled["chance"][0], abs=0.03)
