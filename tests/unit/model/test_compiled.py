"""Layers compiled once for all: what `genrec.model.precision.compile_layers` relies on."""

import numpy as np
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from genrec.model.precision import compile_layers
from genrec.search.decode import beam_search
from genrec.search.trie import Trie
from tests.bench.gpu_check.models import NUM_CODES, SHAPES, random_catalogue, random_policy, random_prompts
from tests.support.lm_tiny import random_sids, tiny_policy

SHAPE = SHAPES["tiny"]
SIDS = random_catalogue(SHAPE)


def test_one_compilation_serves_all_layers_and_lengths_of_training_and_one_each_step_of_a_search(monkeypatch):
    counter = CompileCounterWithBackend("eager")
    monkeypatch.setattr(torch, "compile", lambda call, **options: torch._dynamo.optimize(counter, **options)(call))
    plain, policy = (random_policy(SHAPE, torch.device("cpu"), torch.float32, lora=True, spread=0.1) for _ in range(2))
    compile_layers(policy.body)
    codes = torch.from_numpy(SIDS[:60]).long().view(6, 10, 3)
    for some in (codes, codes[:5, :7]):
        torch.testing.assert_close(policy.sequence_hidden(some), plain.sequence_hidden(some))
    trained = counter.frame_count
    trie, histories = Trie.from_sids(SIDS, NUM_CODES), random_prompts(SHAPE, 9).histories
    for rows in (9, 5, 3):
        some = [history[row % 4 :] for row, history in enumerate(histories[:rows])]
        found, wanted = (beam_search(p, p.prompts(some, SIDS), trie, 20, some) for p in (policy, plain))
        assert np.array_equal(found.items, wanted.items)
        torch.testing.assert_close(found.scores, wanted.scores)
    assert (trained, counter.frame_count - trained) == (1, 2)


def test_a_prefix_before_every_layer_is_compiled_with_it_once_for_all(monkeypatch):
    counter = CompileCounterWithBackend("eager")
    monkeypatch.setattr(torch, "compile", lambda call, **options: torch._dynamo.optimize(counter, **options)(call))
    plain, policy = (tiny_policy(0, mode="ptuning_v2") for _ in range(2))
    compile_layers(policy.body)
    sids = random_sids(60, seed=1)
    codes = torch.from_numpy(sids).long().view(6, 10, 3)
    for some in (codes, codes[:5, :7]):
        torch.testing.assert_close(policy.sequence_hidden(some), plain.sequence_hidden(some))
    assert counter.frame_count == 1
    trie = Trie.from_sids(sids, 6)
    found, wanted = (beam_search(p, p.prompts([[1, 2], [3]], sids), trie, 20) for p in (policy, plain))
    assert np.array_equal(found.items, wanted.items)
