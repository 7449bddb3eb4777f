"""Reinforcement learning of a model that reads histories as items and joins a dense head to its search."""

import numpy as np
import pytest
import torch

from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from tests.support.rl_runs import contents, make_config, run
from tests.support.rl_tiny import NUM_CODES, NUM_ITEMS, SIDS, tiny_policy


@pytest.fixture
def item_shop(shop):
    policy = tiny_policy()
    torch.manual_seed(0)
    text = np.random.default_rng(0).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
    policy.use_items(ItemVectors(SIDS, NUM_CODES, 16, text, ids=True), "item_tokens", dense_weight=0.5)
    policy.save(shop["sft"], kind="sft")
    return shop


def test_training_improves_both_outputs_and_resumes_bit_by_bit(item_shop, tmp_path):
    config = make_config(num_steps=40, eval_every=10, patience=10)
    summary = run(item_shop, tmp_path / "whole", config)
    assert summary["valid"]["ndcg@10"] > summary["valid_sft"]["ndcg@10"] + 0.05
    before, after = Policy.load(item_shop["sft"], device="cpu"), Policy.load(tmp_path / "whole" / "out", device="cpu")
    assert after.dense_weight == before.dense_weight == 0.5
    for name, weights in before.items.named_parameters():
        assert not torch.equal(weights, after.items.get_parameter(name)), name

    def stop(done, *_, **__):
        if done == 23:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(item_shop, tmp_path / "resumed", config, progress=stop)
    run(item_shop, tmp_path / "resumed", config)
    assert contents(tmp_path / "whole" / "out") == contents(tmp_path / "resumed" / "out")
