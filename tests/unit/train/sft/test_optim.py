import numpy as np
import pytest
import torch

from genrec.config import SftConfig
from genrec.train.sft.optim import learning_rate, make_optimizer
from tests.support.rl_tiny import (
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
