"""DeepFM: interactions of numbers and of ids, and its losses."""

import numpy as np
import pytest

from genrec.errors import TrainingError
from genrec.rank.figures import gauc
from tests.support.rank_tiny import fitted, product_lists, samples

TRAIN, OTHERS = product_lists(), product_lists(40, seed=1)


@pytest.mark.parametrize(
    "options", [{"loss": "pointwise"}, {"loss": "pointwise", "focal_gamma": 2.0}, {"loss": "pairwise"}, {}], ids=str
)
def test_every_loss_sees_the_product_of_two_features(options):
    scores = fitted("deepfm", TRAIN, **options, epochs=10).scores(OTHERS)
    assert gauc(OTHERS, scores, OTHERS.label) > 0.85


def test_an_interaction_of_users_and_items_is_learned_from_their_ids_alone():
    """Users of the first half want the items of the first half, and so do the others; no feature says so."""
    generator = np.random.default_rng(0)

    def lists(count):
        user = np.repeat(generator.integers(0, 20, count), 8)
        item = generator.integers(0, 20, 8 * count)
        label = ((user < 10) == (item < 10)).astype(float)
        return samples(np.zeros((8 * count, 1)), label, user=user, item=item, query=np.repeat(np.arange(count), 8))

    ids = {"id_dim": 4, "buckets": 4096, "id_dropout": 0.0, "epochs": 12, "loss": "pointwise"}
    others = lists(60)
    ranker = fitted("deepfm", lists(200), **ids)
    assert gauc(others, ranker.scores(others), others.label) > 0.95


def test_a_loss_that_is_not_finite_ends_training_with_its_place():
    features = np.where(np.arange(len(TRAIN))[:, None] == 3, np.float32(3e38), TRAIN.features)
    weight = np.full(len(TRAIN), np.nan)
    train = samples(features, TRAIN.label, weight=weight)
    with pytest.raises(TrainingError, match=r"ranker deepfm: non-finite loss at step 1 \(epoch 1\)"):
        fitted("deepfm", train)
