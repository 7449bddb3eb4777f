"""Two tasks that share what they need, and two that fight over it."""

import dataclasses

import numpy as np
import pytest

from genrec.rank.figures import auc
from tests.support.rank_tiny import fitted, samples

PLAIN = {
    "loss": "pointwise", "learning_rate": 0.01, "dropout": 0.0, "feature_dropout": 0.0,
    "id_dropout": 0.0, "id_dim": 1, "buckets": 2, "tower_size": 4,
}  # fmt: skip
SEVERAL = {"mmoe": {"num_experts": 4}, "ple": {"num_levels": 1, "shared_experts": 2, "task_experts": 1}}


def _product(x, first):
    return (x[:, first] * x[:, first + 1] > 0).astype(np.float32)


def _fighting(num_rows, seed):
    """Each task needs the product of two features of its own."""
    x = np.random.default_rng(seed).normal(size=(num_rows, 8))
    tasks = {"click": _product(x, 0), "purchase": _product(x, 2)}
    return samples(x, tasks["click"], tasks=tasks, item=np.zeros(num_rows))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_tasks_that_fight_over_a_narrow_layer_are_served_by_experts(name, seed):
    train, others = _fighting(4000, seed), _fighting(2000, seed + 100)
    worst = {}
    shared_bottom = {"num_experts": 1}  # one layer of the width of an expert for both
    for model, options in (("mmoe", shared_bottom), (name, SEVERAL[name])):
        ranker = fitted(model, train, seed=seed, **PLAIN, **options, hidden_size=4, epochs=8)
        scores = ranker.task_scores(others)
        worst[str(options)] = min(auc(scores[task], others.tasks[task]) for task in scores)
    assert worst[str(SEVERAL[name])] > 0.95
    assert worst[str(SEVERAL[name])] > worst[str(shared_bottom)] + 0.04


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_a_task_with_few_positives_learns_from_one_that_shares_its_cause(name, seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(1500, 6))
    click = _product(x, 0)
    tasks = {"click": click, "purchase": click * (generator.random(1500) < 0.08)}
    train = samples(x, click, tasks=tasks, item=np.zeros(1500))
    unseen = np.random.default_rng(seed + 100).normal(size=(2000, 6))
    others = samples(unseen, _product(unseen, 0), item=np.zeros(2000))
    alone = dataclasses.replace(train, tasks={"purchase": train.tasks["purchase"]})
    found = {
        data is train: auc(
            fitted(name, data, seed=seed, **PLAIN, hidden_size=16, epochs=10).task_scores(others)["purchase"],
            others.label,
        )
        for data in (train, alone)
    }
    assert found[True] > found[False] + 0.05


@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_the_score_follows_the_value_of_a_purchase(name):
    train = _fighting(1000, 0)
    scores = {}
    for value in (0.0, 1e4):
        ranker = fitted(name, train, **PLAIN, hidden_size=4, epochs=1, purchase_value=value)
        scores[value] = ranker.scores(train)
        tasks = ranker.task_scores(train)
    np.testing.assert_allclose(np.exp(scores[0.0]), tasks["click"], rtol=1e-4)
    assert np.corrcoef(scores[1e4], np.log(tasks["purchase"]))[0, 1] > 0.999


@pytest.mark.parametrize("name", sorted(SEVERAL))
@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_probabilities_of_a_list_add_up_under_losses_of_lists(name, loss):
    train = _fighting(200, 0)
    options = {**PLAIN, "loss": loss}
    found = fitted(name, train, **options, hidden_size=4, epochs=1).task_scores(train)
    sums = np.add.reduceat(found["click"].astype(np.float64), train.starts[:-1])
    np.testing.assert_allclose(sums, 1, rtol=1e-4)
