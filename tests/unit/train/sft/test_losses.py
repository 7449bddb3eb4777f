import math

import numpy as np
import pytest
import torch

from genrec.train.sft.losses import cross_entropy, focal


def test_focal_loss_of_known_probabilities():
    logits = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log()
    found = focal.loss(logits, torch.tensor([[0, 1]]), focal.Config(gamma=2.0))
    expected = torch.tensor([[-(0.1**2) * math.log(0.9), -(0.5**2) * math.log(0.5)]])
    torch.testing.assert_close(found, expected)


def test_focal_loss_without_gamma_is_cross_entropy_with_the_same_gradient():
    codes = torch.randint(7, (5, 3))
    gradients = []
    for module, options in (
        (focal, focal.Config(gamma=0.0)),
        (cross_entropy, cross_entropy.Config(label_smoothing=0.0)),
    ):
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


RULED_OUT = torch.tensor([[[0.5, -torch.inf, 0.1, -torch.inf], [-torch.inf, -torch.inf, 0.3, -torch.inf]]])
LOSSES = [
    (cross_entropy, cross_entropy.Config()),
    (cross_entropy, cross_entropy.Config(label_smoothing=0.2)),
    (focal, focal.Config(gamma=2.0)),
    (focal, focal.Config(gamma=0.5)),
]


@pytest.mark.parametrize(("module", "options"), LOSSES)
def test_codes_that_are_ruled_out_leave_the_loss_as_it_is_among_the_others(module, options):
    """The second target is sure: no other code can follow."""
    logits, codes = RULED_OUT.clone().requires_grad_(), torch.tensor([[2, 2]])
    found = module.loss(logits, codes, options)
    found.sum().backward()
    left = torch.tensor([[[0.5, 0.1]]], requires_grad=True)
    alone = module.loss(left, torch.tensor([[1]]), options)
    alone.sum().backward()
    torch.testing.assert_close(found, torch.tensor([[alone.item(), 0.0]]))
    torch.testing.assert_close(logits.grad[0, 0, [0, 2]], left.grad[0, 0])
    assert (logits.grad[0, 0, [1, 3]] == 0).all()
    assert (logits.grad[0, 1] == 0).all()


@pytest.mark.parametrize(("module", "options"), LOSSES)
def test_gradients_are_those_of_finite_differences(module, options):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(4, 2, 5, generator=generator, dtype=torch.float64)
    codes = torch.randint(4, (4, 2), generator=generator)
    logits[:, 1, 4] = -torch.inf
    finite = logits.isfinite()

    def loss_of(values: torch.Tensor) -> torch.Tensor:
        return module.loss(torch.full_like(logits, -torch.inf).masked_scatter(finite, values), codes, options)

    assert torch.autograd.gradcheck(loss_of, logits[finite].requires_grad_())


def test_frequent_targets_weigh_less_by_a_power_of_their_count():
    counts = np.array([3, 0, 15])
    weights = focal.target_weights(counts, focal.Config(frequency_power=0.5))
    np.testing.assert_allclose(weights / weights[0], [1, 2, 0.5])  # 1/2, 1, 1/4
    assert weights @ counts / counts.sum() == pytest.approx(1)
    for even in (focal.target_weights(counts, focal.Config()), focal.target_weights(np.zeros(2, int), focal.Config())):
        np.testing.assert_array_equal(even, np.ones_like(even))
