"""The generator as a channel."""

import numpy as np
import pytest
import torch

from genrec.recall.parts.generator import Generator
from tests.support.lm_tiny import plain_log_probs, random_histories, random_sids
from tests.support.scored_tiny import scored_policy

NUM_ITEMS = 30
SIDS = random_sids(NUM_ITEMS, 3)
HISTORIES = [*random_histories([3, 1, 6], NUM_ITEMS, 0), np.empty(0, dtype=np.int64), np.array([2, 5])]


def every_pair():
    return np.repeat(np.arange(len(HISTORIES)), NUM_ITEMS), np.tile(np.arange(NUM_ITEMS), len(HISTORIES))


def test_it_lists_what_the_ids_make_likeliest_without_the_banned():
    policy = scored_policy(SIDS, None, 0.0)
    items, scores = Generator(policy, SIDS).top(HISTORIES, NUM_ITEMS, HISTORIES)
    for row in (0, 1, 2, 4):
        with torch.no_grad():
            log_p = plain_log_probs(policy, HISTORIES[row], SIDS).sum(dim=1).numpy()
        log_p[HISTORIES[row]] = -np.inf
        count = int(np.isfinite(log_p).sum())
        np.testing.assert_allclose(scores[row, :count], np.sort(log_p)[::-1][:count], rtol=1e-4)
        assert set(items[row, :count]) == set(np.flatnonzero(np.isfinite(log_p)))
    assert (items[3] == -1).all()
    assert np.isneginf(scores[3]).all()


@pytest.mark.parametrize("dense_weight", [None, 0.7])
def test_steps_of_what_was_found_add_up_to_its_score(dense_weight):
    generator = Generator(scored_policy(SIDS, dense_weight, 0.4), SIDS)
    found = generator.search(HISTORIES, 8)
    rows, items = every_pair()
    steps, _ = generator.steps(found, HISTORIES, rows, items)
    listed = found.items >= 0
    query, _ = np.nonzero(listed)
    np.testing.assert_allclose(
        steps.reshape(len(HISTORIES), NUM_ITEMS, -1)[query, found.items[listed]].sum(axis=-1),
        found.scores[listed],
        rtol=1e-5,
    )
    whole = ~np.isnan(steps).any(axis=1)
    assert whole.sum() == listed.sum()
    # the first code of any item, found or not, by the same numbers as a search that finds all
    everything = generator.search(HISTORIES, NUM_ITEMS)
    known = generator.steps(everything, HISTORIES, rows, items)[0]
    np.testing.assert_allclose(steps[:, 0], known[:, 0], rtol=1e-4)
    assert np.isnan(steps.reshape(len(HISTORIES), -1)[3]).all()  # the empty history


def test_the_dense_head_is_known_of_any_item_and_is_a_distribution():
    generator = Generator(scored_policy(SIDS, 0.7, 0.4), SIDS)
    rows, items = every_pair()
    _, dense = generator.steps(generator.search(HISTORIES, 4), HISTORIES, rows, items)
    total = np.exp(dense.sum(axis=1)).reshape(len(HISTORIES), NUM_ITEMS).sum(axis=1)
    np.testing.assert_allclose(total[[0, 1, 2, 4]], 1, rtol=1e-4)
    assert np.isnan(total[3])
    alone = Generator(scored_policy(SIDS, 1.0, 0.4), SIDS).search(HISTORIES, NUM_ITEMS)
    for row in (0, 4):
        by_item = dense.reshape(len(HISTORIES), NUM_ITEMS, -1)[row].sum(axis=1)
        np.testing.assert_allclose(by_item[alone.items[row]], alone.scores[row], rtol=1e-4)


def test_without_a_dense_head_its_steps_are_missing():
    generator = Generator(scored_policy(SIDS, None, 0.0), SIDS)
    rows, items = every_pair()
    assert np.isnan(generator.steps(generator.search(HISTORIES, 4), HISTORIES, rows, items)[1]).all()


def test_steps_of_one_history_are_those_it_has_among_others():
    generator = Generator(scored_policy(SIDS, 0.7, 0.4), SIDS)
    rows, items = every_pair()
    together = generator.steps(generator.search(HISTORIES, 8), HISTORIES, rows, items)
    for row in (0, 2):
        alone = generator.steps(
            generator.search([HISTORIES[row]], 8), [HISTORIES[row]], np.zeros(NUM_ITEMS, int), np.arange(NUM_ITEMS)
        )
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(one, other[rows == row], rtol=1e-4, atol=1e-5)
