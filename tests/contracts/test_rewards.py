"""What every reward promises. A new module of genrec/train/rl/rewards is tested here without being listed."""

import dataclasses

import pytest
import torch

from genrec import variants
from genrec.measure.gains import FIGURES
from genrec.train.rl.reward_context import RewardContext, Sequences
from genrec.train.rl.rewarding import PACKAGE
from genrec.train.rl.rewards import exact_hit

NUM_ITEMS, NUM_CODES = 40, 4


@pytest.fixture(params=variants.names(PACKAGE))
def reward(request):
    module = variants.load(PACKAGE, request.param)
    options = module.Config()

    def call(candidates, target, context):
        prepared = module.prepare(context, options) if hasattr(module, "prepare") else None
        return module.reward(candidates, target, context._replace(prepared=prepared), options)

    return call


def make_batch(seed: int, num_prompts: int = 12, group_size: int = 6):
    """Distinct candidates a prompt; the target is among them in the even rows; missing candidates at the end."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(NUM_ITEMS, generator=generator) for _ in range(num_prompts)])
    candidates, target = order[:, :group_size].clone(), order[:, group_size].clone()
    hit = torch.arange(num_prompts) % 2 == 0
    target[hit] = candidates[hit, torch.randint(0, group_size - 1, (int(hit.sum()),), generator=generator)]
    candidates[::4, -1] = -1
    sids = torch.stack([torch.arange(NUM_ITEMS) // NUM_CODES**level % NUM_CODES for level in (2, 1, 0)], dim=1)
    following = torch.cat([target[:, None], order[:, 1 : group_size - 2]], dim=1)  # some candidates come later
    following[1::3, -1] = -1
    sequences = torch.randint(0, NUM_ITEMS, (60, 10), generator=generator)
    context = RewardContext(
        sids,
        torch.randint(0, 9, (NUM_ITEMS,), generator=generator),
        categories=torch.stack(
            [torch.zeros(NUM_ITEMS), torch.randint(1, 5, (NUM_ITEMS,), generator=generator)], 1
        ).long(),
        event_names=("click", "purchase", "review"),
        sequences=Sequences(sequences.flatten(), torch.arange(0, 601, 10)),
        history=order[:, group_size - 2 : group_size + 3].masked_fill(torch.arange(5) == 0, -1),
        target_event=torch.randint(0, 3, (num_prompts,), generator=generator),
        following=following,
        following_event=torch.randint(0, 3, following.shape, generator=generator).masked_fill(following < 0, -1),
    )
    return candidates, target, context


def test_returns_one_finite_float32_a_candidate(reward):
    candidates, target, context = make_batch(0)
    values = reward(candidates, target, context)
    assert values.shape == candidates.shape
    assert values.dtype == torch.float32
    assert torch.isfinite(values).all()


def test_is_a_pure_function(reward):
    candidates, target, context = make_batch(1)
    tensors = [t for t in (candidates, target, *context) if isinstance(t, torch.Tensor)]
    before = [t.clone() for t in tensors]
    first, second = reward(candidates, target, context), reward(candidates, target, context)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors, strict=True))


def test_a_prompt_is_judged_alone(reward):
    candidates, target, context = make_batch(2)
    together = reward(candidates, target, context)

    def of_prompt(i):
        names = ("history", "target_event", "following", "following_event")
        return context._replace(**{name: getattr(context, name)[[i]] for name in names})

    alone = torch.cat([reward(candidates[[i]], target[[i]], of_prompt(i)) for i in range(len(target))])
    assert torch.equal(together, alone)


def test_the_target_earns_most_once_a_hit_is_paid(reward):
    """A bonus for something else than a hit never makes a wrong candidate the better one."""
    candidates, target, context = make_batch(3)
    values = reward(candidates, target, context) + exact_hit.reward(candidates, target, context, exact_hit.Config())
    hit = candidates == target[:, None]
    best_wrong = values.masked_fill(hit | (candidates < 0), -torch.inf).amax(dim=1)
    rows = hit.any(dim=1)
    assert rows.sum() == 6
    assert (values[hit] > best_wrong[rows]).all()


def test_tells_candidates_of_a_group_apart(reward):
    """A term that is equal for a whole group has no effect on its advantages."""
    candidates, target, context = make_batch(3)
    values = reward(candidates, target, context)[:, :-1]  # the last place may be empty
    assert (values.amax(dim=1) > values.amin(dim=1)).any()


def test_missing_candidates_earn_nothing(reward):
    candidates, target, context = make_batch(4)
    assert (candidates < 0).any()
    assert (reward(candidates, target, context)[candidates < 0] == 0).all()


def test_what_a_reward_pays_for_is_measured():
    for name in variants.names(PACKAGE):
        assert set(getattr(variants.load(PACKAGE, name), "PAYS_FOR", ())) <= set(FIGURES)


def test_settings_are_documented_plain_data(reward):
    for name in variants.names(PACKAGE):
        config_class = variants.load(PACKAGE, name).Config
        assert config_class.__dataclass_params__.frozen
        assert all(field.metadata.get("doc") for field in dataclasses.fields(config_class))
