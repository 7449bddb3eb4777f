import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from genrec.config import SftConfig
from genrec.model.item_vectors import ItemVectors
from genrec.train.sft.sampled_softmax import EXACT_UP_TO, LogUniform, Sample, sampled_cross_entropy, sampler_for
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from tests.support.rl_tiny import MAX_HISTORY, SIDS, tiny_policy
from tests.support.sft_runs import CONFIG, CYCLES

NUM_ITEMS, WIDTH = 40, 6


def _estimate(hidden, vectors, targets, sample):
    logits = hidden @ vectors.T
    return sampled_cross_entropy(logits.gather(1, targets[:, None])[:, 0], logits[:, sample.items], targets, sample)


def _case(seed):
    generator = torch.Generator().manual_seed(seed)
    hidden, vectors = (torch.randn(n, WIDTH, generator=generator).requires_grad_() for n in (5, NUM_ITEMS))
    return hidden, vectors, torch.randint(NUM_ITEMS, (5,), generator=generator)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_with_every_item_sampled_for_certain_loss_and_gradient_are_those_of_the_softmax(seed):
    hidden, vectors, targets = _case(seed)
    every = Sample(torch.randperm(NUM_ITEMS), torch.zeros(NUM_ITEMS))
    found = _estimate(hidden, vectors, targets, every)
    wanted = functional.cross_entropy(hidden @ vectors.T, targets, reduction="none")
    torch.testing.assert_close(found, wanted)
    for a, b in zip(*(torch.autograd.grad(loss.sum(), (hidden, vectors)) for loss in (found, wanted)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_items_are_sampled_as_often_as_their_correction_says():
    counts = np.random.default_rng(0).permutation(NUM_ITEMS)
    sampler, rounds = LogUniform(counts, draws=12), 8000
    seen, inclusion = torch.zeros(NUM_ITEMS), torch.full((NUM_ITEMS,), torch.nan)
    torch.manual_seed(0)
    for _ in range(rounds):
        sample = sampler.sample(torch.device("cpu"))
        assert len(sample.items.unique()) == len(sample.items)
        seen[sample.items] += 1
        inclusion[sample.items] = sample.log_inclusion.exp()
    error = 4 * (inclusion * (1 - inclusion) / rounds).sqrt()
    assert (seen / rounds - inclusion).abs().le(error).all()
    order = torch.from_numpy(np.argsort(-counts))
    assert inclusion[order].diff().lt(0).all()  # the popular ones are likelier
    # P(rank) of the log-uniform distribution by hand, for the most and the least popular
    for place, share in ((0, np.log(2)), (-1, np.log((NUM_ITEMS + 1) / NUM_ITEMS))):
        expected = 1 - (1 - share / np.log(NUM_ITEMS + 1)) ** 12
        assert inclusion[order[place]].item() == pytest.approx(expected, rel=1e-5)


def test_the_normaliser_is_estimated_without_bias():
    hidden, vectors, targets = _case(3)
    sampler, rounds = LogUniform(np.arange(NUM_ITEMS), draws=15), 6000
    own = (hidden * vectors[targets]).sum(1)
    torch.manual_seed(1)
    with torch.no_grad():
        found = torch.stack(
            [(_estimate(hidden, vectors, targets, sampler.sample(hidden.device)) + own).exp() for _ in range(rounds)]
        )
        wanted = (hidden @ vectors.T).exp().sum(1)
    assert (found.mean(0) - wanted).abs().le(4 * found.std(0) / rounds**0.5).all()


def test_more_draws_bring_the_gradient_to_that_of_the_softmax():
    hidden, vectors, targets = _case(5)
    exact = torch.autograd.grad(functional.cross_entropy(hidden @ vectors.T, targets), vectors)[0]

    def error(draws: int) -> float:
        sampler, errors = LogUniform(np.arange(NUM_ITEMS), draws), []
        torch.manual_seed(2)
        for _ in range(200):
            loss = _estimate(hidden, vectors, targets, sampler.sample(hidden.device)).mean()
            errors.append((torch.autograd.grad(loss, vectors)[0] - exact).square().sum())
        return float(torch.stack(errors).mean() / exact.square().sum())

    few, more, many = error(5), error(50), error(3000)
    assert few > 3 * more > 0
    assert many < 1e-6


def test_the_size_of_the_catalogue_decides_between_softmax_and_sample():
    assert sampler_for(np.ones(EXACT_UP_TO), None) is None
    assert sampler_for(np.ones(EXACT_UP_TO + 1), None).draws > 1000
    assert sampler_for(np.ones(EXACT_UP_TO + 1), 0) is None
    assert sampler_for(np.ones(100), 99).draws == 99
    assert sampler_for(np.ones(100), 100) is None  # all of them cost no more


def test_fine_tuning_reads_no_more_items_than_it_samples(monkeypatch):
    head = {"loss_weight": 1.0, "sampled_items": 6}
    config = SftConfig(**{**CONFIG.model_dump(), "dense_head": head, "dropout": 0.0})
    policy = tiny_policy()
    policy.use_items(ItemVectors(SIDS, 4, 16, None, ids=True), dense_weight=0.5)
    windows = make_windows(np.concatenate(CYCLES), np.cumsum([0, *map(len, CYCLES)]), MAX_HISTORY)
    trainer = Trainer(policy, windows, SIDS, config, seed=0)
    monkeypatch.setattr(ItemVectors, "table", lambda *_: pytest.fail("the vectors of all items were computed"))
    torch.manual_seed(4)
    sample = LogUniform(np.bincount(windows.items), 6).sample(policy.device)
    torch.manual_seed(4)
    trainer.accumulate(np.array([0]))
    touched = policy.items.ids.weight.grad.abs().sum(1).nonzero()[:, 0]
    assert set(touched.tolist()) <= set(sample.items.tolist()) | set(CYCLES[0])
