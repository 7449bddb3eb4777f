"""What every loss and every sampler promises. A new module of their packages is tested here without being listed."""

import numpy as np
import pytest
import torch

from genrec import variants
from genrec.train.sft import losses, samplers


@pytest.fixture(params=variants.names(losses.PACKAGE))
def loss(request):
    module = variants.load(losses.PACKAGE, request.param)
    return lambda logits, codes: module.loss(logits, codes, module.Config())


@pytest.fixture(params=variants.names(losses.PACKAGE))
def loss_weights(request):
    module = variants.load(losses.PACKAGE, request.param)
    return getattr(module, "target_weights", None), module.Config()


@pytest.fixture(params=variants.names(samplers.PACKAGE))
def sampler(request):
    module = variants.load(samplers.PACKAGE, request.param)
    return module, module.Config()


def test_a_loss_is_one_finite_value_a_target_and_level_that_falls_as_the_code_gets_likelier(loss):
    logits = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    codes = torch.randint(5, (6, 3), generator=torch.Generator().manual_seed(2))
    found = loss(logits, codes)
    assert found.shape == codes.shape
    assert torch.isfinite(found).all()
    found.sum().backward()
    stepped = loss(logits.detach() - 0.1 * logits.grad, codes)
    assert (stepped < found.detach()).all()
    alone = torch.cat([loss(logits[i : i + 1].detach(), codes[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(alone, found.detach())


def test_a_loss_and_its_gradient_are_finite_where_codes_are_ruled_out(loss):
    logits = torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(1))
    codes = torch.randint(2, (6, 3), generator=torch.Generator().manual_seed(2))
    logits[:, 1, 2:] = -torch.inf
    logits[:, 2] = logits[:, 2].where(torch.arange(5) == codes[:, 2:], -torch.inf)  # nothing else can follow
    logits.requires_grad_()
    found = loss(logits, codes)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(logits.grad).all()
    assert (found[:, 2] == 0).all()


def test_a_loss_without_settings_counts_every_item_alike(loss_weights):
    target_weights, options = loss_weights
    if target_weights is not None:
        found = target_weights(np.array([0, 3, 8, 1, 40]), options)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.ones(5))


def test_a_sampler_weighs_every_item_and_announces_its_second_pass(sampler):
    module, options = sampler
    weights = module.target_weights(np.array([0, 3, 8, 1, 40]), options)
    assert weights.shape == (5,)
    assert weights.dtype == np.float32
    assert (weights > 0).all()
    losses_ = np.random.default_rng(0).random(37).astype(np.float32)
    again = module.second_pass(losses_, options)
    assert len(again) == module.num_extra(37, options)
    assert len(set(again.tolist())) == len(again)
    assert np.isin(again, np.arange(37)).all()


def test_what_a_sampler_draws_again_are_items(sampler):
    module, options = sampler
    if hasattr(module, "drawn_again"):
        wanted, times = module.drawn_again(np.array([0, 3, 8, 1, 40]), options)
        assert (wanted.shape, wanted.dtype) == ((5,), bool)
        assert times >= 0
