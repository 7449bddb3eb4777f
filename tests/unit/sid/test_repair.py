"""Collision repair: unique ids, as little movement as possible."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.sid.quantize.tokenizer import Tokenizer
from genrec.sid.repair import check_capacity, repair


def problem(num_items, num_levels, num_codes, dim=3, seed=0, num_distinct=None):
    """Latents, codebooks and raw codes."""
    rng = np.random.default_rng(seed)
    codebooks = rng.normal(size=(num_levels, num_codes, dim)).astype(np.float32)
    codebooks *= (0.5 ** np.arange(num_levels))[:, None, None].astype(np.float32)
    latents = rng.normal(size=(num_distinct or num_items, dim)).astype(np.float32)
    latents = latents[rng.integers(0, len(latents), num_items)] if num_distinct else latents
    return Tokenizer(torch.from_numpy(codebooks), "cpu").encode(latents), latents, codebooks


def distortion(codes, latents, codebooks):
    return float(np.square(latents - sum(codebooks[level][codes[:, level]] for level in range(codes.shape[1]))).sum())


def is_unique(codes):
    return len(np.unique(codes, axis=0)) == len(codes)


@settings(deadline=None)
@given(st.data())
def test_ids_are_unique_and_in_range_for_any_catalogue_that_fits(data):
    num_levels, num_codes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    num_items = data.draw(st.integers(1, min(num_codes**num_levels, 80)))
    num_distinct = data.draw(st.integers(1, num_items))
    raw, latents, codebooks = problem(
        num_items, num_levels, num_codes, seed=data.draw(st.integers(0, 999)), num_distinct=num_distinct
    )
    before = raw.copy()
    final = repair(raw, latents, codebooks)
    assert final.dtype == np.int32
    assert is_unique(final)
    assert final.min() >= 0
    assert final.max() < num_codes
    np.testing.assert_array_equal(raw, before)
    np.testing.assert_array_equal(final, repair(raw, latents, codebooks))


@settings(deadline=None)
@given(st.data())
def test_ids_that_others_hold_are_left_alone(data):
    num_levels, num_codes = data.draw(st.integers(1, 3)), data.draw(st.integers(2, 5))
    capacity = num_codes**num_levels
    num_taken = data.draw(st.integers(0, capacity - 1))
    num_items = data.draw(st.integers(1, min(capacity - num_taken, 40)))
    seed = data.draw(st.integers(0, 999))
    raw, latents, codebooks = problem(num_items, num_levels, num_codes, seed=seed, num_distinct=max(1, num_items // 3))
    ids = np.random.default_rng(seed).permutation(capacity)[:num_taken]
    taken = np.stack(np.unravel_index(ids, (num_codes,) * num_levels), axis=1).reshape(-1, num_levels)
    final = repair(raw, latents, codebooks, taken=taken)
    assert is_unique(np.concatenate([final, taken]))


def test_unique_codes_stay_as_they_are():
    raw, latents, codebooks = problem(200, 3, 16, dim=8)
    kept = np.unique(raw, axis=0, return_index=True)[1]
    np.testing.assert_array_equal(repair(raw[kept], latents[kept], codebooks), raw[kept])


def test_cells_without_a_conflict_stay_as_they_are():
    raw, latents, codebooks = problem(300, 3, 16, dim=6)
    final = repair(raw, latents, codebooks)
    _, ids, counts = np.unique(raw, axis=0, return_inverse=True, return_counts=True)
    cells = np.unique(raw[:, :2], axis=0, return_inverse=True)[1].reshape(-1)
    assert np.bincount(cells).max() <= 16, "no cell of this sample may overflow"
    calm = ~np.isin(cells, cells[counts[ids.reshape(-1)] > 1])
    assert calm.any()
    np.testing.assert_array_equal(final[calm], raw[calm])
    np.testing.assert_array_equal(final[:, :2], raw[:, :2])


@pytest.mark.parametrize("seed", range(20))
def test_the_last_level_is_assigned_at_minimum_total_distance(seed):
    raw, latents, codebooks = problem(5, 1, 7, dim=2, seed=seed)
    best = min(
        distortion(np.array(codes)[:, None], latents, codebooks) for codes in itertools.permutations(range(7), 5)
    )
    assert distortion(repair(raw, latents, codebooks), latents, codebooks) == pytest.approx(best, rel=1e-5)


def test_of_two_items_on_one_code_the_one_that_loses_less_moves_to_the_next_code():
    codebook = np.array([[[0.0], [1.0], [5.0]]], dtype=np.float32)
    latents = np.array([[0.1], [0.4]], dtype=np.float32)
    final = repair(np.array([[0], [0]], dtype=np.int32), latents, codebook)
    assert final.tolist() == [[0], [1]]


def test_a_full_cell_spills_the_nearest_items_into_the_nearest_code_with_room():
    codebooks = np.array([[[0.0], [10.0], [100.0]], [[-1.0], [0.0], [1.0]]], dtype=np.float32)
    latents = np.array([[0.0], [0.1], [-0.2], [2.0]], dtype=np.float32)  # four items for the three ids of code 0
    raw = Tokenizer(torch.from_numpy(codebooks), "cpu").encode(latents)
    assert raw[:, 0].tolist() == [0, 0, 0, 0]
    final = repair(raw, latents, codebooks)
    assert final[:, 0].tolist() == [0, 0, 0, 1]
    assert final[3, 1] == 0  # found anew: -8 from code 1's center is nearest to -1


@pytest.mark.parametrize(("num_levels", "num_codes"), [(1, 64), (2, 8), (3, 4)])
def test_equal_items_fill_every_id_there_is(num_levels, num_codes):
    raw, latents, codebooks = problem(64, num_levels, num_codes, num_distinct=1)
    assert is_unique(repair(raw, latents, codebooks))


def test_more_items_than_ids_are_refused():
    raw, latents, codebooks = problem(9, 2, 3)
    with pytest.raises(DataError, match=r"10 items need unique ids.*give 9"):
        repair(raw, latents, codebooks, taken=np.zeros((1, 2)))
    with pytest.raises(DataError, match="raise one of them"):
        check_capacity(10, 3, 2)
    check_capacity(9, 3, 2)


def test_very_many_possible_ids_do_not_overflow():
    raw, latents, codebooks = problem(50, 8, 300, num_distinct=3)
    assert is_unique(repair(raw, latents, codebooks))


@pytest.mark.slow
def test_a_hundred_thousand_items_take_seconds():
    raw, latents, codebooks = problem(100_000, 3, 256, dim=16)
    assert not is_unique(raw)
    assert is_unique(repair(raw, latents, codebooks))
    equal = np.ones((100_000, 16), np.float32)
    assert is_unique(repair(np.tile(raw[:1], (100_000, 1)), equal, codebooks))
