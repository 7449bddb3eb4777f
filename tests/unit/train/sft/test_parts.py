"""What fine-tuning is made of, each part alone: losses, schedule, optimizers, averaged weights, first rows."""

import math

import numpy as np
import pytest
import torch

from genrec.config import SftConfig
from genrec.train.averaging import WeightAverage
from genrec.train.sft import code_rows
from genrec.train.sft.losses import cross_entropy
from genrec.train.sft.optim import learning_rate, make_optimizer
from genrec.train.state import State
from tests.support.rl_tiny import (
    NUM_CODES,
    NUM_ITEMS,
    SIDS,
    VOCAB,
    tiny_policy,
)


def test_8_bit_moments_take_a_quarter_of_the_memory():
    parameter = torch.nn.Parameter(torch.randn(256, 256))
    sizes = {}
    for name in ("adamw", "paged_adamw_8bit"):
        optimizer = make_optimizer({"w": parameter}, SftConfig(optimizer=name))
        parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        sizes[name] = sum(v.nbytes for v in optimizer.state[parameter].values() if isinstance(v, torch.Tensor))
    assert sizes["paged_adamw_8bit"] < 0.28 * sizes["adamw"]


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


def test_the_learning_rate_rises_then_falls_to_its_minimum():
    config = SftConfig(learning_rate=1.0, min_learning_rate=0.1, warmup_share=0.1)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[-1] == pytest.approx(0.1)
    assert np.all(np.diff(rates[10:]) <= 0)
    assert learning_rate(0, 1, config) == 1.0


def test_norms_and_biases_are_not_decayed():
    policy = tiny_policy()
    optimizer = make_optimizer(policy.trainable_parameters(), SftConfig(weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in policy.model.named_parameters():
        assert decay[id(parameter)] == (0.0 if name.endswith("bias") or "norm" in name else 0.3), name


def test_averaged_weights_follow_their_formula_and_step_aside():
    parameters = {"w": torch.nn.Parameter(torch.zeros(2))}
    average = WeightAverage.of(parameters)
    expected = 0.0
    for step in range(1, 40):
        with torch.no_grad():
            parameters["w"].fill_(float(step))
        average.update(parameters, step, 0.7)
        decay = min(0.7, step / (step + 10))
        expected = decay * expected + (1 - decay) * step
    assert average.tensors["w"].tolist() == pytest.approx([expected] * 2)
    with average.applied(parameters):
        assert parameters["w"].tolist() == pytest.approx([expected] * 2)
    assert parameters["w"].tolist() == [39.0, 39.0]


def test_token_rows_start_as_mean_residuals_of_their_items():
    vectors = np.random.default_rng(1).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
    means = code_rows.code_means(SIDS.astype(np.int64), vectors, NUM_CODES)
    centred = vectors - vectors.mean(0)
    np.testing.assert_allclose(means[0, 1], centred[SIDS[:, 0] == 1].mean(0), atol=1e-6)
    left = centred - means[0][SIDS[:, 0]]
    np.testing.assert_allclose(means[1, 2], left[SIDS[:, 1] == 2].mean(0), atol=1e-6)
    assert not means[0, 3].any()  # no item has the code

    for tied in (True, False):
        policy, before = tiny_policy(tied=tied), tiny_policy(tied=tied)
        code_rows.initialise(policy, SIDS.astype(np.int64), vectors, seed=0)
        for name, new in policy.model.named_parameters():
            old = before.model.get_parameter(name)
            if name.endswith(("embed_tokens.weight", "lm_head.weight")):
                assert not torch.equal(new, old)
                new, old = new[: VOCAB.first_token_id], old[: VOCAB.first_token_id]
            torch.testing.assert_close(new, old, rtol=0, atol=0)  # the words of the base model stay
        rows, old_rows = policy.head_rows(), before.head_rows()
        torch.testing.assert_close(rows[0, 3], old_rows[0, 3], rtol=0, atol=0)
        used = rows[0, :3]
        assert used.std().item() == pytest.approx(old_rows.std().item(), rel=0.5)
        near = torch.cdist(torch.from_numpy(means[0, :3]), torch.from_numpy(means[0, :3]))
        assert torch.corrcoef(torch.stack([near.flatten(), torch.cdist(used, used).detach().flatten()]))[0, 1] > 0.8


def test_early_stopping_returns_the_best_weights():
    parameters = {"w": torch.nn.Parameter(torch.zeros(1))}
    state = State()
    for epoch, ndcg in enumerate([0.1, 0.3, 0.2, 0.25], start=1):
        state.step = 10 * epoch
        with torch.no_grad():
            parameters["w"].fill_(float(epoch))
        assert state.stop_reason is None
        state.validated(epoch, 0.5, ndcg, parameters, patience=2)
    assert state.stop_reason == "patience"
    assert (state.best_step, state.best_epoch, state.best_ndcg) == (20, 2, 0.3)
    state.restore_best(parameters, otherwise={})
    assert parameters["w"].item() == 2.0
