"""Batches stay within a bound on keys and values, and the bytes that bound them are those that a search holds."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen2Config, Qwen2Model

from genrec.search.decode import beam_search
from genrec.search.kv_memory import batches, bytes_a_position
from genrec.search.trie import Trie
from tests.support.kv_held import kv_held
from tests.support.lm_tiny import MAX_HISTORY, NUM_CODES, random_histories, random_sids, tiny_policy

WIDTH = 4


@given(
    positions=st.lists(st.integers(1, 50), max_size=40).map(sorted),
    most_rows=st.integers(1, 12),
    most_positions=st.integers(1, 300),
)
def test_batches_hold_all_rows_in_their_order_and_none_more_than_it_may(positions, most_rows, most_positions):
    parts = list(batches(np.array(positions, dtype=np.int64), most_rows, most_positions))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(len(positions)))
    for part in parts:
        size = part.stop - part.start
        assert 1 <= size <= most_rows
        assert size == 1 or size * positions[part.stop - 1] <= most_positions
        if part.stop < len(positions):  # as large as it may be
            assert size == most_rows or (size + 1) * positions[part.stop] > most_positions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16], ids=["fp32 weights", "bf16 weights"])
@pytest.mark.parametrize("mode", ["full", "lora", "ptuning_v2"])
def test_a_position_takes_the_bytes_that_a_search_holds(mode, weights, dtype):
    policy, sids = tiny_policy(mode=mode), random_sids(60, seed=1)
    policy.model.to(weights)
    policy.search_dtype = dtype
    prompts = policy.prompts(random_histories([MAX_HISTORY, 2, 1], 60, seed=2), sids)
    with kv_held() as held:
        beam_search(policy, prompts, Trie.from_sids(sids, NUM_CODES), WIDTH)
    positions = prompts.input_ids.shape[0] * (prompts.input_ids.shape[1] + 2 * WIDTH)
    assert held == [positions * bytes_a_position(policy)]


def test_a_position_of_a_3b_model_in_bfloat16_takes_36_kib():
    config = Qwen2Config(
        vocab_size=64, hidden_size=2048, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=2
    )
    with torch.device("meta"):
        body = Qwen2Model(config).to(torch.bfloat16)
    assert bytes_a_position(SimpleNamespace(body=body, search_dtype=torch.bfloat16)) == 36 * 1024
