import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.search.restriction import Restriction
from genrec.search.trie import Trie
from tests.support.lm_tiny import random_sids

CATALOGUES = st.builds(
    random_sids,
    num_items=st.integers(1, 27),
    seed=st.integers(0, 1000),
    num_codes=st.just(3),
    num_levels=st.just(3),
)


def followers(sids: np.ndarray, prefix: tuple[int, ...], num_codes: int) -> np.ndarray:
    """Brute force: codes that continue `prefix` in some row."""
    mask = np.zeros(num_codes, dtype=bool)
    mask[[row[len(prefix)] for row in sids.tolist() if tuple(row[: len(prefix)]) == prefix]] = True
    return mask


def allowed_codes(trie: Trie, level: int, state: torch.Tensor, restriction: Restriction | None = None) -> np.ndarray:
    """bool[B, K]: the codes that may follow `state` int64[B, 1]."""
    children = trie.children(level, state, restriction)
    codes = children.codes.masked_fill(~children.allowed, -1)
    mask = np.zeros((len(state), trie.num_codes + 1), dtype=bool)
    np.put_along_axis(mask, codes[:, 0].numpy(), True, axis=1)  # -1 marks the last column
    return mask[:, :-1]


def walk(trie: Trie, prefix: list[int]) -> torch.Tensor:
    state = torch.zeros(1, 1, dtype=torch.int64)
    for level, code in enumerate(prefix):
        state = trie.advance(level, state, torch.tensor([[code]]))
    return state


@settings(max_examples=40, deadline=None)
@given(sids=CATALOGUES, dense=st.booleans())
def test_allowed_codes_are_those_that_continue_some_item(sids, dense):
    trie = Trie.from_sids(sids, 3, dense_entries=10**6 if dense else 0)
    for row in sids.tolist():
        for level in range(3):
            found = allowed_codes(trie, level, walk(trie, row[:level]))[0]
            np.testing.assert_array_equal(found, followers(sids, tuple(row[:level]), 3))


@settings(max_examples=40, deadline=None)
@given(sids=CATALOGUES, dense=st.booleans())
def test_a_prefix_is_shared_where_more_than_one_item_has_it(sids, dense):
    trie = Trie.from_sids(sids, 3, dense_entries=10**6 if dense else 0)
    for row in sids.tolist():
        for level in range(3):
            items = sum(other[:level] == row[:level] for other in sids.tolist())
            assert trie.shared(level, walk(trie, row[:level])).item() == (items > 1)
    assert not trie.shared(1, torch.tensor([-1])).item()


@settings(max_examples=40, deadline=None)
@given(sids=CATALOGUES, dense=st.booleans())
def test_every_code_sequence_ends_in_its_item_or_nowhere(sids, dense):
    trie = Trie.from_sids(sids, 3, dense_entries=10**6 if dense else 0)
    index = {tuple(row): item for item, row in enumerate(sids.tolist())}
    grid = torch.cartesian_prod(*[torch.arange(3)] * 3)
    state = torch.zeros(len(grid), dtype=torch.int64)
    for level in range(3):
        state = trie.advance(level, state, grid[:, level])
    assert trie.items(state).tolist() == [index.get(tuple(row), -1) for row in grid.tolist()]


@settings(max_examples=40, deadline=None)
@given(sids=CATALOGUES, data=st.data())
def test_bans_and_limits_leave_exactly_the_prefixes_of_the_items_that_remain(sids, data):
    items = st.lists(st.integers(0, len(sids) - 1), max_size=30)
    banned = [np.array(data.draw(items), dtype=np.int64) for _ in range(5)]
    allowed = [None, *(np.array(data.draw(items), dtype=np.int64) for _ in range(4))]
    trie = Trie.from_sids(sids, 3, dense_entries=data.draw(st.sampled_from([0, 10**6])))
    closed = np.array(data.draw(items), dtype=np.int64)
    trie = trie.closing(np.arange(len(sids))).closing(closed)  # what was closed before is open again
    subset = trie.subset(allowed[3])
    allowed[4] = allowed[3]  # two rows of one subset, one of another
    restriction = trie.restrict(banned, [*allowed[:2], trie.subset(allowed[2]), subset, subset])
    for row in range(5):
        remaining = set(range(len(sids)) if allowed[row] is None else allowed[row].tolist())
        remaining -= {*banned[row].tolist(), *closed.tolist()}
        left = sids[sorted(remaining)]
        for prefix in {tuple(sid[:level]) for sid in sids.tolist() for level in range(3)}:
            state = walk(trie, list(prefix)).expand(5, 1)
            found = allowed_codes(trie, len(prefix), state, restriction)[row]
            np.testing.assert_array_equal(found, followers(left, prefix, 3))


def test_closed_items_are_closed_without_a_restriction_and_keep_what_follows_a_prefix():
    sids = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [2, 2, 2]])
    whole = Trie.from_sids(sids, 3)
    trie = whole.closing(np.array([0, 1, 3]))
    root = torch.zeros(1, 1, dtype=torch.int64)
    assert allowed_codes(trie, 0, root)[0].tolist() == [True, False, False]
    assert allowed_codes(trie, 1, walk(trie, [0]))[0].tolist() == [False, True, False]
    for level, prefix in enumerate(([], [0], [0, 0])):
        known, same = (t.children(level, walk(t, prefix)) for t in (whole, trie))
        assert torch.equal(known.codes, same.codes)
        assert torch.equal(known.states, same.states)
    with pytest.raises(DataError, match="outside the catalogue"):
        whole.closing(np.array([4]))


def test_a_dead_state_stays_dead():
    trie = Trie.from_sids(np.array([[0, 1], [1, 0]]), 2)
    dead = torch.tensor([[-1]])
    assert trie.advance(0, dead, torch.tensor([[0]])).item() == -1
    assert not allowed_codes(trie, 1, dead).any()
    assert trie.items(dead).item() == -1


def test_two_items_with_one_id_are_named():
    with pytest.raises(DataError, match=r"items 1 and 3 share the id \(2, 0, 1\)"):
        Trie.from_sids(np.array([[0, 0, 0], [2, 0, 1], [1, 0, 0], [2, 0, 1]]), 3)


@pytest.mark.parametrize("sids", [np.array([[0, 3]]), np.array([[-1, 0]]), np.empty((0, 3), dtype=int), np.array([1])])
def test_unusable_ids_are_refused(sids):
    with pytest.raises(DataError, match="semantic ids"):
        Trie.from_sids(sids, 3)


def test_banning_an_unknown_item_is_refused():
    with pytest.raises(DataError, match="outside the catalogue"):
        Trie.from_sids(np.array([[0, 1]]), 2).restrict([np.array([1])])
