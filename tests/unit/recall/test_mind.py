"""MIND: several interests, and what they are for."""

import numpy as np
import torch

from genrec.recall.parts.mind_network import Mind
from genrec.recall.parts.mind_training import newest_first
from genrec.recall.parts.scorer import Held, Training
from genrec.recall.parts.validation import validate
from tests.support.recall_tiny import fitted, two_camps


def network(interests, dim=4):
    """Items 0..3 point one way and 4..7 another; capsules leave the network as the routing makes them."""
    torch.manual_seed(1)
    model = Mind(8, dim=dim, interests=interests, routing_rounds=5, max_history=8, dropout=0.0).eval()
    with torch.no_grad():
        model.items.weight.copy_(torch.eye(dim)[torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])] * 3)
        model.out.weight.zero_(), model.out.bias.zero_()
    return model


def test_routing_gives_each_taste_a_capsule_of_its_own():
    items = torch.tensor([[0, 1, 4, 5, 2, 6, 3, 7]])
    capsules, used = network(2)(items, torch.ones_like(items, dtype=torch.bool))
    assert used.all()
    direction = torch.nn.functional.normalize(capsules[0], dim=1)
    assert set(direction[:, :2].argmax(dim=1).tolist()) == {0, 1}
    assert direction[:, :2].max(dim=1).values.min() > 0.95
    scores = network(2).item_scores(capsules, used)[0]
    single = network(1)
    average = single.item_scores(*single(items, torch.ones_like(items, dtype=torch.bool)))[0]
    assert scores[0] > 1.2 * average[0]  # an average of unlike tastes is near to neither
    assert scores[4] > 1.2 * average[4]


def test_a_short_history_has_few_interests():
    model = network(4)
    real = torch.tensor([[True] * 1 + [False] * 7, [True] * 4 + [False] * 4, [True] * 8])
    _, used = model(torch.zeros(3, 8, dtype=torch.int64), real)
    assert used.sum(dim=1).tolist() == [1, 2, 3]  # log2 of 1 (one at least), 4 and 8


def test_padding_changes_no_interest():
    model = network(2)
    items, real = torch.tensor([[1, 5]]), torch.tensor([[True, True]])
    padded = torch.tensor([[1, 5, 7, 7]]), torch.tensor([[True, True, False, False]])
    torch.testing.assert_close(model(items, real)[0], model(*padded)[0])


def test_histories_are_read_newest_first_and_cut():
    items, real = newest_first(np.array([9, 8, 7, 6, 5]), np.array([3, 5]), np.array([3, 2]), 2)
    assert items.tolist() == [[7, 8], [5, 6]]
    assert real.all()
    items, real = newest_first(np.array([9, 8, 7]), np.array([1, 3]), np.array([1, 2]), 4)
    assert items.tolist() == [[9, 0], [7, 8]]
    assert real.tolist() == [[True, False], [True, True]]


def test_a_user_with_two_tastes_gets_both():
    channel = fitted("mind", two_camps(), 12, epochs=8, batch_size=32, learning_rate=0.02, interests=2)
    items, _ = channel.top([np.array([0, 1, 2, 3, 6, 7, 8, 9])], 4, [np.array([0, 1, 2, 3, 6, 7, 8, 9])])
    assert set(items[0]) == {4, 5, 10, 11}


def test_training_keeps_the_epoch_that_validation_likes_best():
    sequences, seen = two_camps(5), []
    held = Held([s[:3] for s in sequences], np.array([s[3] for s in sequences], dtype=np.int32))
    data = Training(sequences, 12, validation=held, progress=lambda done, *_, **__: seen.append(done))
    channel = fitted("mind", data=data, epochs=20, patience=2, learning_rate=0.05, batch_size=8)
    assert len(seen) < 20
    best = max(
        validate(fitted("mind", data=data, epochs=n, patience=60, learning_rate=0.05, batch_size=8), held)[1]
        for n in range(1, len(seen) + 1)
    )
    assert validate(channel, held)[1] == best
