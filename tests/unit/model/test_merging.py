"""A merged adapter gives the lists of the adapter beside its weights, on plain layers."""

import numpy as np
import pytest
import torch

from genrec.model.merging import merge_adapter
from genrec.search.decode import rank_users
from genrec.search.trie import Trie
from tests.support.lm_tiny import NUM_CODES, attach, perturb, random_histories, random_sids, tiny_policy

NUM_ITEMS = 60


def _lists(policy):
    sids = random_sids(NUM_ITEMS, seed=1)
    histories = random_histories([1, 5, 3, 2], NUM_ITEMS, seed=2)
    return rank_users(policy, histories, sids, Trie.from_sids(sids, NUM_CODES), 10)


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied head", "own head"])
def test_lists_and_scores_are_those_of_the_adapter(tied, mode):
    policy = tiny_policy(4, tied=tied, mode=mode)
    items, scores = _lists(policy)
    assert merge_adapter(policy)
    merged_items, merged_scores = _lists(policy)
    np.testing.assert_array_equal(merged_items, items)
    np.testing.assert_allclose(merged_scores, scores, atol=1e-5)


def test_nothing_of_the_adapter_is_left():
    policy = tiny_policy(4, mode="lora")
    merge_adapter(policy)
    assert not policy.has_adapter
    assert {type(module).__name__ for module in policy.body.modules()} == {
        type(module).__name__ for module in tiny_policy(4).body.modules()
    }


def test_bfloat16_weights_are_merged_within_their_rounding():
    exact = tiny_policy(4, mode="lora")
    halved = tiny_policy(4, mode="lora")
    halved.model.to(torch.bfloat16)
    merge_adapter(exact)
    merge_adapter(halved)
    for (name, wanted), found in zip(exact.model.named_parameters(), halved.model.parameters(), strict=True):
        assert found.dtype == torch.bfloat16
        assert (found.float() - wanted).norm() <= 2**-7 * wanted.norm(), name


def test_a_model_without_an_adapter_stays_as_it_is():
    policy = tiny_policy(4)
    model = policy.model
    assert not merge_adapter(policy)
    assert policy.model is model


def test_an_adapter_on_4_bit_weights_stays_beside_them(tmp_path):
    tiny_policy(4).save(tmp_path)
    policy = attach(tmp_path, mode="qlora")
    perturb(policy)
    items, scores = _lists(policy)
    assert not merge_adapter(policy)
    assert policy.has_adapter
    again = _lists(policy)
    np.testing.assert_array_equal(again[0], items)
    np.testing.assert_array_equal(again[1], scores)
