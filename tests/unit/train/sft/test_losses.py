import math

import numpy as np
import pytest
import torch

from genrec.train.sft.losses import cross_entropy, focal
from genrec.train.sft.samplers import hard_examples, tail


def test_focal_loss_of_known_probabilities():
    logits = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log()
    found = focal.loss(logits, torch.tensor([[0, 1]]), focal.Config(gamma=2.0))
    expected = torch.tensor([[-(0.1**2) * math.log(0.9), -(0.5**2) * math.log(0.5)]])
    torch.testing.assert_close(found, expected)


def test_focal_loss_without_gamma_is_cross_entropy_with_the_same_gradient():
    codes = torch.randint(7, (5, 3))
    gradients = []
    for module, options in ((focal, focal.Config(gamma=0.0)), (cross_entropy, cross_entropy.Config())):
        logits = torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
        losses = module.loss(logits, codes, options)
        losses.sum().backward()
        gradients.append((losses.detach(), logits.grad))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_a_certain_code_is_zero_with_a_finite_gradient(gamma):
    logits = torch.tensor([[[200.0, 0.0]]], requires_grad=True)
    loss = focal.loss(logits, torch.tensor([[0]]), focal.Config(gamma=gamma))
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert torch.isfinite(logits.grad).all()


def test_the_tail_is_the_least_popular_items_within_a_share_of_the_events():
    counts = np.array([50, 5, 30, 5, 10])  # the two with 5 events hold 10% of 100, with the one of 10 it is 20%
    weights = tail.target_weights(counts, tail.Config(factor=1.5, tail_share=0.2))
    np.testing.assert_array_equal(weights, np.array([1, 1.5, 1, 1.5, 1.5], np.float32))
    weights = tail.target_weights(counts, tail.Config(factor=1.5, tail_share=0.19))
    np.testing.assert_array_equal(weights, np.array([1, 1.5, 1, 1.5, 1], np.float32))
    even = tail.target_weights(np.full(10, 3), tail.Config())  # nothing is rarer than anything else
    np.testing.assert_array_equal(even, np.ones(10, np.float32))


def test_the_thirty_percent_with_the_highest_loss_come_again():
    losses = np.array([0.1, 9.0, 0.2, 5.0, 0.3, 7.0, 0.4, 0.5, 0.6, 0.7], np.float32)
    assert hard_examples.second_pass(losses, hard_examples.Config()).tolist() == [1, 3, 5]
    assert hard_examples.num_extra(10, hard_examples.Config()) == 3
    assert hard_examples.num_extra(1, hard_examples.Config()) == 1


def test_uniform_logits_cost_log_k_with_or_without_smoothing():
    codes = torch.tensor([[0, 3], [2, 1]])
    for smoothing in (0.0, 0.3):
        losses = cross_entropy.loss(torch.zeros(2, 2, 4), codes, cross_entropy.Config(smoothing))
        torch.testing.assert_close(losses, torch.full((2, 2), math.log(4)))


def test_label_smoothing_mixes_in_the_mean_over_the_codes():
    logits, codes = torch.randn(5, 3, 7), torch.randint(7, (5, 3))
    log_probs = logits.log_softmax(-1)
    expected = -0.8 * log_probs.gather(-1, codes[..., None])[..., 0] - 0.2 * log_probs.mean(-1)
    torch.testing.assert_close(cross_entropy.loss(logits, codes, cross_entropy.Config(0.2)), expected)
