"""Candidates: valid, unseen, best first, and the same whoever generates them."""

import numpy as np
import pytest
import torch

from genrec.config import RlConfig
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.rollout import RolloutWorker, chunks, concatenate, get_weights
from tests.support.lm_tiny import tiny_policy as adapted_policy
from tests.support.rl_tiny import NUM_ITEMS, SIDS, VOCAB, tiny_policy, tiny_trie

MODES = ["beam", "sample", "gumbel"]


def make_worker(mode: str, seed: int = 0, model_seed: int = 0, group_size: int = 8, **settings) -> RolloutWorker:
    config = RlConfig(group_size=group_size, rollout={"mode": mode, "chunk_size": 3, **settings})
    return RolloutWorker(tiny_policy(model_seed), tiny_trie(), SIDS, config, seed)


def make_prompts(num_prompts: int = 8) -> PromptSet:
    rng = np.random.default_rng(5)
    sequences = [rng.permutation(NUM_ITEMS)[: rng.integers(2, 8)] for _ in range(num_prompts)]
    return PromptSet(np.arange(num_prompts), [s[:-1] for s in sequences], np.array([s[-1] for s in sequences]))


@pytest.mark.parametrize("rollout", MODES)
def test_candidates_are_items_outside_the_history_best_first(rollout):
    worker, prompts = make_worker(rollout), make_prompts()
    found = worker.generate(0, prompts)
    assert found.items.shape == (8, 8)
    assert (found.items >= 0).all()
    assert np.array_equal(found.sids, SIDS[found.items])
    for row, history in zip(found.items, prompts.histories, strict=True):
        assert not np.isin(row, history).any()
        assert rollout == "sample" or len(set(row)) == 8
    scores = found.log_probs.sum(-1)
    assert (np.diff(scores, axis=1) <= 1e-6).all()


@pytest.mark.parametrize("rollout", MODES)
def test_log_probs_are_those_the_learner_computes(rollout):
    worker, prompts = make_worker(rollout, temperature=2.0), make_prompts()
    found = worker.generate(0, prompts)
    batch = worker.policy.prompts(prompts.histories, SIDS)
    with torch.no_grad():
        expected = worker.policy.candidate_log_probs(batch, torch.from_numpy(found.sids))
    assert np.abs(found.log_probs - expected.numpy()).max() < 1e-5


@pytest.mark.parametrize("rollout", MODES)
def test_any_split_over_workers_gives_the_same_bits(rollout):
    prompts = make_prompts()
    whole = make_worker(rollout).generate(4, prompts)
    parts = chunks(prompts, 3)
    by_chunk = concatenate([make_worker(rollout).generate(4, part) for part in parts])
    one, two = make_worker(rollout), make_worker(rollout)
    late = two.generate(4, prompts.part(6, 8))  # in another order, by other workers
    early = one.generate(4, prompts.part(0, 6))
    for got in (by_chunk, concatenate([early, late])):
        assert all(np.array_equal(a, b) for a, b in zip(whole, got, strict=True))
    with pytest.raises(ValueError, match="multiple of 3"):
        one.generate(4, prompts.part(1, 4))


@pytest.mark.parametrize("mode", ["sample", "gumbel"])
def test_draws_depend_on_seed_and_step(mode):
    prompts = make_prompts()
    first = make_worker(mode).generate(0, prompts).items
    assert np.array_equal(first, make_worker(mode).generate(0, prompts).items)
    assert not np.array_equal(first, make_worker(mode).generate(1, prompts).items)
    assert not np.array_equal(first, make_worker(mode, seed=1).generate(0, prompts).items)


def test_temperature_spreads_samples():
    prompts = make_prompts()
    cold = make_worker("sample", temperature=0.1).generate(0, prompts).items
    hot = make_worker("sample", temperature=10.0).generate(0, prompts).items
    assert sum(len(set(row)) for row in cold) < sum(len(set(row)) for row in hot)


def test_a_worker_takes_the_learners_weights():
    prompts = make_prompts()
    learner, worker = make_worker("beam", model_seed=1), make_worker("beam", model_seed=0)
    expected = learner.generate(0, prompts)
    assert not np.array_equal(worker.generate(0, prompts).log_probs, expected.log_probs)
    weights = get_weights(learner.parameters)
    assert all(isinstance(v, np.ndarray) for v in weights.values())
    worker.set_weights(weights)
    assert all(np.array_equal(a, b) for a, b in zip(worker.generate(0, prompts), expected, strict=True))


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
def test_an_adapter_travels_in_bfloat16_and_generates_what_the_learner_would(mode):
    def worker(seed: int) -> RolloutWorker:
        policy = adapted_policy(seed, mode=mode, vocab=VOCAB)
        policy.forward_dtype = policy.search_dtype = torch.bfloat16
        config = RlConfig(group_size=8, rollout={"mode": "beam", "chunk_size": 3})
        return RolloutWorker(policy, tiny_trie(), SIDS, config, 0)

    prompts, learner, other = make_prompts(), worker(1), worker(1)
    with torch.no_grad():
        for parameter in other.parameters.values():
            parameter.zero_()
    weights = get_weights(learner.parameters, torch.bfloat16)
    mark = {"lora": ".lora_", "ptuning_v2": ".prefix."}[mode]
    assert {weights[name].dtype.name for name in weights if mark in name} == {"int16"}
    assert {weights[name].dtype.name for name in weights if mark not in name} == {"float32"}
    other.set_weights(weights)
    expected = learner.generate(0, prompts)
    assert all(np.array_equal(a, b) for a, b in zip(other.generate(0, prompts), expected, strict=True))


def test_foreign_weights_are_refused():
    worker = make_worker("beam")
    weights = get_weights(worker.parameters)
    name = next(iter(weights))
    with pytest.raises(ValueError, match="do not belong"):
        worker.set_weights({k: v for k, v in weights.items() if k != name})
    with pytest.raises(ValueError, match="shape"):
        worker.set_weights(weights | {name: weights[name][:-1]})


def test_places_without_a_candidate_are_marked():
    worker = make_worker("beam", group_size=NUM_ITEMS)
    prompts = make_prompts()
    found = worker.generate(0, prompts)
    for row, history in zip(found.items, prompts.histories, strict=True):
        assert (row >= 0).sum() == NUM_ITEMS - len(history)
        assert (row[NUM_ITEMS - len(history) :] == -1).all()


def test_items_of_the_history_are_candidates_when_they_are_kept():
    prompts = make_prompts()
    found = make_worker("beam", group_size=NUM_ITEMS, seen_items="keep").generate(0, prompts)
    assert (np.sort(found.items, axis=1) == np.arange(NUM_ITEMS)).all()


def test_a_repeated_target_may_be_proposed():
    worker = make_worker("beam", group_size=NUM_ITEMS - 1)
    prompts = PromptSet(np.arange(1), [np.array([3, 5])], np.array([5]))
    items = worker.generate(0, prompts).items[0]
    assert 5 in items
    assert 3 not in items
