import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genrec.rank.folds import fold_of, mixed


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=50),
    st.integers(2, 20),
    st.integers(0, 2**31 - 1),
    st.randoms(),
)
def test_the_fold_of_a_user_does_not_depend_on_who_else_is_there(users, num_folds, seed, random):
    folds = dict(zip(users, fold_of(np.array(users), num_folds, seed).tolist(), strict=True))
    assert set(folds.values()) <= set(range(num_folds))
    others = [*random.sample(users, len(users)), 5]
    again = dict(zip(others, fold_of(np.array(others), num_folds, seed).tolist(), strict=True))
    assert all(again[user] == fold for user, fold in folds.items())


def test_folds_are_nearly_equal_and_another_seed_gives_others():
    users = np.arange(10_000)
    folds = fold_of(users, 5, seed=0)
    assert np.abs(np.bincount(folds) / 2000 - 1).max() < 0.1
    assert (folds != fold_of(users, 5, seed=1)).mean() > 0.7


def test_the_hash_is_that_of_splitmix64():
    assert int(mixed(np.array([0]), 0)[0]) == 0xE220A8397B1DCDAF  # the first output of its reference with seed 0
