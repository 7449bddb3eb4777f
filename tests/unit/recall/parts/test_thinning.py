"""Channels of large data: a heavy user, a heavy item and a large catalogue change neither small data nor memory."""

import numpy as np
import pytest
import scipy.sparse as sp

from genrec.recall.parts.sparse import keep_largest
from genrec.recall.parts.thinning import newest, num_kept, thinned
from tests.support.recall_tiny import fitted

SEQUENCES = [np.random.default_rng(u).permutation(30)[: 3 + u % 9].astype(np.int32) for u in range(60)]
BLOCKED = {name: f"genrec.recall.{name}._ENTRIES" for name in ("itemcf", "usercf", "transition_hops")}
BLOCKED |= {"transitions": "genrec.recall.itemcf._ENTRIES", "swing": "genrec.recall.swing._BLOCK_EVENTS"}


@pytest.mark.parametrize("name", sorted(BLOCKED))
def test_what_is_computed_in_blocks_equals_what_is_computed_at_once(name, monkeypatch):
    histories = [*SEQUENCES[:9], []]
    whole = fitted(name, SEQUENCES, 30).scores(histories)
    monkeypatch.setattr(BLOCKED[name], 8)
    assert whole.any()
    np.testing.assert_allclose(fitted(name, SEQUENCES, 30).scores(histories), whole, rtol=1e-6)


@pytest.mark.parametrize("name", ["itemcf", "swing", "usercf"])
def test_a_heavy_user_counts_by_the_newest_events_alone(name):
    heavy = np.arange(30, dtype=np.int32)
    capped = fitted(name, [*SEQUENCES, heavy], 30, max_user_items=4)
    expected = fitted(name, [*(s[-4:] for s in SEQUENCES), heavy[-4:]], 30, max_user_items=0)
    np.testing.assert_array_equal(capped.scores(SEQUENCES[:5]), expected.scores(SEQUENCES[:5]))


@pytest.mark.parametrize("name", ["swing", "usercf"])
def test_a_heavy_item_counts_by_a_sample_of_its_users_and_light_ones_as_they_are(name):
    sequences = [np.array([0, *s[s > 0]], dtype=np.int32) for s in SEQUENCES]
    most = max(np.bincount(np.concatenate(sequences))[1:])
    whole, capped = (fitted(name, sequences, 30, max_item_users=cap) for cap in (0, int(most)))
    assert (capped.scores([[0]]) <= whole.scores([[0]]) + 1e-6).all()
    if name == "usercf":
        assert (capped.items_users[[1]] != whole.items_users[[1]]).nnz == 0
        assert capped.items_users[[0]].nnz == most < whole.items_users[[0]].nnz == 60


@pytest.mark.parametrize("name", ["itemcf", "swing", "transition_hops"])
def test_an_item_keeps_its_most_similar_ones(name):
    more = {"two_hops": 0.0} if name == "transition_hops" else {}
    whole = fitted(name, SEQUENCES, 30, **more).weights
    kept = fitted(name, SEQUENCES, 30, neighbours=3, **more).weights
    np.testing.assert_allclose(kept.toarray(), keep_largest(whole, 3).toarray(), rtol=1e-6)


def test_a_catalogue_is_cut_by_size_unless_the_setting_says_how():
    assert [num_kept(n, 0) for n in (10, 20_000, 20_001, 10**7)] == [10, 20_000, 200, 200]
    assert num_kept(10**7, 50) == num_kept(100, 50) == 50


def test_a_sample_of_a_row_is_as_long_as_asked_and_always_the_same():
    matrix = sp.csr_array(np.arange(1, 41, dtype=np.float32).reshape(2, 20))
    matrix.data[25:] = 0
    matrix.eliminate_zeros()
    kept = thinned(matrix, 6)
    assert np.diff(kept.indptr).tolist() == [6, 5]
    assert (kept != thinned(matrix, 6)).nnz == 0
    assert ((kept != 0).multiply(matrix) != kept).nnz == 0
    assert thinned(matrix, 0) is thinned(matrix, 20) is matrix


def test_the_newest_events_are_the_last_ones():
    assert [s.tolist() for s in newest([np.arange(5), np.arange(2)], 3)] == [[2, 3, 4], [0, 1]]
