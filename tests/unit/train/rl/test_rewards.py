"""Worked examples of every reward."""

import math

import numpy as np
import pytest
import torch

from genrec.train.rl.algorithms import grpo
from genrec.train.rl.reward_context import Sequences
from genrec.train.rl.rewards import (
    behaviour,
    category_diversity,
    delayed_purchase,
    exact_hit,
    later_items,
    new_item,
    prefix_credit,
    rank_linear,
    rank_log,
    rank_penalty,
    transitions,
)
from tests.support.reward_contexts import CONTEXT, SHOP


def test_exact_hit_pays_one_for_the_target_only():
    candidates = torch.tensor([[3, 0, 1], [2, 4, -1]])
    values = exact_hit.reward(candidates, torch.tensor([0, 1]), CONTEXT, exact_hit.Config())
    assert values.tolist() == [[0, 1, 0], [0, 0, 0]]


def test_rank_penalty_follows_the_normalised_dcg_discount():
    values = rank_penalty.reward(torch.tensor([[3, 0, 1]]), torch.tensor([0]), CONTEXT, rank_penalty.Config())
    total = 1 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)  # 2.13093
    assert values[0].tolist() == pytest.approx([-1 / total, 0.0, -0.5 / total])
    assert values[0, 0].item() == pytest.approx(-0.469279, abs=1e-6)


def test_rank_penalty_is_zero_for_a_group_without_the_target():
    values = rank_penalty.reward(torch.tensor([[3, 2, 1]]), torch.tensor([0]), CONTEXT, rank_penalty.Config())
    assert values.tolist() == [[0, 0, 0]]


def test_prefix_credit_counts_leading_levels_only():
    candidates = torch.tensor(
        [[0, 1, 2, 3, -1]]
    )  # against item 0: all 3 levels, 2, 1, none (level 2 equal but after a miss)
    values = prefix_credit.reward(candidates, torch.tensor([0]), CONTEXT, prefix_credit.Config(share=0.3))
    assert values[0].tolist() == pytest.approx([0.3, 0.2, 0.1, 0.0, 0.0])


def test_rank_linear_costs_a_tenth_a_rank():
    candidates, target = torch.tensor([[3, 0, 1, -1]]), torch.tensor([0])
    values = {
        of: rank_linear.reward(candidates, target, CONTEXT, rank_linear.Config(of=of)) for of in ("all", "hit", "wrong")
    }
    assert values["all"][0].tolist() == pytest.approx([-0.1, -0.2, -0.3, 0.0])
    assert values["hit"][0].tolist() == pytest.approx([0.0, -0.2, 0.0, 0.0])
    assert values["wrong"][0].tolist() == pytest.approx([-0.1, 0.0, -0.3, 0.0])


def test_rank_log_starts_free_and_flattens():
    candidates, target = torch.tensor([[3, 0, 1, 2]]), torch.tensor([0])
    values = rank_log.reward(candidates, target, CONTEXT, rank_log.Config())
    assert values[0].tolist() == pytest.approx([0.0, -0.103972, -0.164792, -0.207944], abs=1e-6)  # 0.15 ln 1..4
    values = rank_log.reward(candidates, target, CONTEXT, rank_log.Config(of="hit", scale=1.0))
    assert values[0].tolist() == pytest.approx([0.0, -math.log(2), 0.0, 0.0])


def test_category_diversity_pays_who_brings_a_category_first():
    candidates = torch.tensor([[1, 0, 2, 4, 3, -1], [3, 3, 2, 0, 1, 4]])
    values = category_diversity.reward(candidates, torch.tensor([0, 4]), SHOP, category_diversity.Config())
    assert values.flatten().tolist() == pytest.approx([0.2, 0, 0.2, 0, 0.2, 0, *[0.2, 0, 0.2, 0.2, 0, 0]])
    every = category_diversity.Config(bonus=0.1, most_specific=False)
    values = category_diversity.reward(candidates, torch.tensor([0, 4]), SHOP, every)
    # tools and drill, nothing, saw, nothing, rake; rake, nothing, tools and saw, drill
    assert values.flatten().tolist() == pytest.approx([0.2, 0, 0.1, 0, 0.1, 0, *[0.1, 0, 0.2, 0.1, 0, 0]])


def test_category_diversity_survives_the_normalisation_of_a_group():
    candidates = torch.tensor([[1, 0, 2, 3]])
    values = category_diversity.reward(candidates, torch.tensor([4]), SHOP, category_diversity.Config())
    advantage = grpo.advantages(values, candidates >= 0, grpo.Config())
    assert advantage[0, 1] < -1 < 0 < advantage[0, 0]  # the second drill alone is discouraged


def test_new_item_pays_relevant_items_with_little_history():
    context = CONTEXT._replace(train_counts=torch.tensor([3, 0, 0, 0, 9]))
    candidates, target = torch.tensor([[0, 1, 2, 3, 4, -1]]), torch.tensor([0])
    two = new_item.reward(candidates, target, context, new_item.Config())  # items 0 and 1 share two codes with 0
    assert two[0].tolist() == pytest.approx([0.2 / 2, 0.2, 0, 0, 0, 0])
    one = new_item.reward(candidates, target, context, new_item.Config(bonus=1.0, max_count=2, min_levels=1))
    assert one[0].tolist() == pytest.approx([0, 1, 1, 0, 0, 0])


def test_behaviour_pays_purchases_over_clicks_and_charges_repeats():
    context = CONTEXT._replace(event_names=("purchase", "review", "click"))
    context = context.for_prompts([np.array([3]), np.array([1, 2, 3]), np.array([0])], np.array([0, 2, 1]))
    candidates = torch.tensor([[0, 3, 1], [2, 0, -1], [0, 1, 2]])
    values = behaviour.reward(candidates, torch.tensor([0, 0, 0]), context, behaviour.Config(other=0.25))
    # a purchase and a repeat; a repeat and a click; a target taken again is a hit, not a repeat
    assert values.tolist() == [[3, -0.5, 0], [-0.5, 1, 0], [0.25, 0, 0]]


def test_later_items_pays_less_for_what_came_later():
    context = CONTEXT.for_prompts([np.array([1])] * 2, None, np.array([[0, 3, 4, 3], [2, -1, -1, -1]]))
    candidates = torch.tensor([[4, 0, 3, 2, -1], [0, 1, 2, 3, -1]])
    options = later_items.Config(discount=0.4)
    values = later_items.reward(candidates, torch.tensor([0, 2]), context, options)
    assert values[0].tolist() == pytest.approx([0.16, 0, 0.4, 0, 0])  # item 3 came twice: the first time counts
    assert values[1].tolist() == [0] * 5
    near = later_items.reward(candidates, torch.tensor([0, 2]), context, later_items.Config(discount=0.4, horizon=1))
    assert near[0].tolist() == pytest.approx([0, 0, 0.4, 0, 0])
    assert later_items.num_following(options) == 8


def test_delayed_purchase_pays_what_was_bought_soon_after_less_the_later():
    context = CONTEXT._replace(event_names=("click", "purchase"))
    following, events = np.array([[0, 3, 4, 3], [2, 1, 2, -1]]), np.array([[1, 0, 1, 1], [0, 0, 1, -1]])
    context = context.for_prompts([np.array([1])] * 2, events[:, 0], following, events)
    candidates = torch.tensor([[4, 0, 3, 2, -1], [0, 1, 2, 3, -1]])
    options = delayed_purchase.Config(purchase=3.0, discount=0.5)
    values = delayed_purchase.reward(candidates, torch.tensor([0, 2]), context, options)
    assert values[0].tolist() == pytest.approx([0.75, 0, 0.375, 0, 0])  # item 3 was clicked first, then bought
    assert values[1].tolist() == pytest.approx([0, 0, 0.75, 0, 0])  # the target itself was bought two events later
    near = delayed_purchase.Config(purchase=3.0, discount=0.5, horizon=2)
    assert delayed_purchase.reward(candidates, torch.tensor([0, 2]), context, near)[0, 2] == 0
    assert delayed_purchase.num_following(near) == 3


def test_delayed_purchase_is_nothing_where_purchases_are_not_known():
    prompts = ([np.array([1])], np.array([0]), np.array([[0, 3]]), np.array([[0, 0]]))
    candidates, target, options = torch.tensor([[3, 0]]), torch.tensor([0]), delayed_purchase.Config()
    context = CONTEXT._replace(event_names=("review",))
    assert delayed_purchase.reward(candidates, target, context.for_prompts(*prompts), options).tolist() == [[0, 0]]
    assert "event types: review" in str(delayed_purchase.note(context, options))
    named = CONTEXT._replace(event_names=("purchase",))
    assert delayed_purchase.note(named, options) is None
    assert delayed_purchase.reward(candidates, target, named.for_prompts(*prompts[:3]), options).tolist() == [[0, 0]]


def transitions_reward(sequences, histories, following, candidates, **settings):
    options = transitions.Config(**settings)
    offsets = np.cumsum([0, *map(len, sequences)])
    context = CONTEXT._replace(
        sequences=Sequences(torch.tensor([i for s in sequences for i in s]), torch.from_numpy(offsets))
    )
    context = context._replace(prepared=transitions.prepare(context, options))
    context = context.for_prompts([np.array(h) for h in histories], None, following)
    target = torch.zeros(len(candidates), dtype=torch.long)
    return transitions.reward(torch.tensor(candidates), target, context, options), context


def test_transitions_pay_in_proportion_to_what_followed_the_history():
    sequences = [[0, 1], [0, 1], [0, 2], [3, 2, 4]]  # weights: 0 -> 1: 2, 0 -> 2: 1, 3 -> 2: 1, 3 -> 4: 1/2, 2 -> 4: 1
    values, _ = transitions_reward(sequences, [[0], [3, 0], [1]], None, [[1, 2, 4, -1]] * 3, credit=0.8, decay=0.5)
    assert values[0].tolist() == pytest.approx([0.8, 0.4, 0, 0])
    assert values[1].tolist() == pytest.approx([0.8, 0.8 * 1.5 / 2, 0.8 * 0.25 / 2, 0])  # the older item counts half
    assert values[2].tolist() == [0] * 4  # nothing ever followed item 1


def test_transitions_never_pay_for_the_step_the_prompt_was_cut_from():
    sequences = [[0, 1, 4], [0, 2]]
    following = np.array([[1, 4]])  # the prompt is the first sequence, cut behind item 0
    values, _ = transitions_reward(sequences, [[0]], following, [[1, 2, 4]], credit=1.0)
    assert values[0].tolist() == [0, 1, 0]
    leaky, _ = transitions_reward(sequences, [[0]], None, [[1, 2, 4]], credit=1.0)
    assert leaky[0].tolist() == pytest.approx([1, 1, 0.5])


def test_transitions_without_their_table_are_an_error_and_no_zero():
    context = CONTEXT._replace(sequences=Sequences(torch.tensor([0, 1]), torch.tensor([0, 2])))
    with pytest.raises(ValueError, match="call prepare first"):
        transitions.reward(torch.tensor([[1]]), torch.tensor([1]), context, transitions.Config())


def test_the_strongest_transition_is_that_to_an_item_outside_of_the_history():
    sequences = [[0, 3], [0, 3], [0, 3], [0, 1]]
    values, _ = transitions_reward(sequences, [[3, 0]], None, [[1, 3, 2]], credit=1.0)
    assert values[0].tolist() == [1, 1, 0]  # item 3, three times as strong, is known already and earns no more than all
