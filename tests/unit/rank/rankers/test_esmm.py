"""Conversions that are seen after clicks only."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from genrec.errors import ConfigError
from genrec.rank.figures import auc
from tests.support.rank_tiny import fitted, product_lists, samples

PLAIN = {
    "learning_rate": 0.01, "dropout": 0.0, "feature_dropout": 0.0, "id_dropout": 0.0, "id_dim": 4,
    "buckets": 4096, "hidden_size": 8, "batch_lists": 32,
}  # fmt: skip


def _shop(num_rows, seed):
    """Candidates of 200 items whose quality decides both the click and, after one, the purchase.

    Returns the samples and who would buy, had everybody clicked.
    """
    quality = np.random.default_rng(7).normal(size=200)
    generator = np.random.default_rng(seed)
    item = generator.integers(0, 200, num_rows)
    click = (generator.random(num_rows) < expit(2 * quality[item] - 1.5)).astype(np.float32)
    would_buy = (generator.random(num_rows) < expit(2 * quality[item] - 2)).astype(np.float32)
    features = generator.normal(size=(num_rows, 2))
    tasks = {"click": click, "purchase": click * would_buy}
    return samples(features, click, tasks=tasks, item=item), would_buy


@pytest.mark.parametrize("seed", [0, 1])
def test_conversion_over_all_candidates_is_learned_better_than_from_clicked_rows_alone(seed):
    train, _ = _shop(6000, seed)
    others, would_buy = _shop(4000, seed + 100)
    tasks = fitted("esmm", train, seed=seed, **PLAIN, epochs=10).task_scores(others)
    clicked = train.take(train.label > 0)
    clicked = dataclasses.replace(clicked, label=clicked.tasks["purchase"], tasks={})
    of_clicked = fitted("mmoe", clicked, seed=seed, **PLAIN, epochs=10, num_experts=1, loss="pointwise")
    conversion = tasks["purchase"] / tasks["click"]
    assert auc(conversion, would_buy) > auc(of_clicked.scores(others), would_buy) + 0.05


def test_a_purchase_is_never_likelier_than_its_click():
    train = product_lists()
    tasks = fitted("esmm", train).task_scores(train)
    assert (tasks["purchase"] <= tasks["click"] + 1e-6).all()
    assert (tasks["purchase"] > 0).all()


def test_data_without_purchases_are_refused_with_what_to_choose():
    train = dataclasses.replace(product_lists(5), tasks={})
    with pytest.raises(ConfigError, match=r"esmm learns from clicks and purchases.*choose lambdamart"):
        fitted("esmm", train)
