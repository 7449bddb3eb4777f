"""What validation lists earn, and the figures before and after."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from genrec import tables
from genrec.config import RewardConfig
from genrec.train.rl import rewarding
from genrec.train.rl.before_after import BeforeAfter
from genrec.train.rl.reward_context import read_context
from genrec.train.rl.valid_rewards import ValidRewards, following
from genrec.train.validation import Validation
from tests.support.rl_tiny import NUM_ITEMS, SIDS, tiny_trie, write_prepared
from tests.support.targets import write_targets

HISTORIES = [([0, 1], 2), ([3, 4], 5), ([6, 7], 8), ([9], 10)]
EVENTS = ["click", "purchase", "gift", "purchase"]


@pytest.fixture
def prepared(tmp_path):
    """Four validation rows with events, one of a type that training does not have."""
    folder = write_prepared(tmp_path, [[0, 1], [1, 12], [3, 4, 5]], HISTORIES)
    table = tables.VALID_FILE.read(folder)
    column = table.schema.get_field_index("target_event")
    tables.VALID_FILE.write(table.set_column(column, "target_event", pa.array(EVENTS)), folder)
    return folder


def rewards_of(prepared, *names, events=("click", "purchase")) -> ValidRewards:
    path = tables.VALID_FILE.path(prepared)
    sequences = np.array([0, 1, 1, 12, 3, 4, 5]), np.array([0, 2, 4, 7])
    context = read_context(tables.CATALOGUE_FILE.path(prepared), SIDS, events, torch.device("cpu"), sequences)
    terms = rewarding.prepare(rewarding.build_terms([RewardConfig(name=n) for n in names]), context)
    return ValidRewards(path, Validation(path, 100, tiny_trie(), SIDS), terms, context)


def test_a_hit_earns_by_the_event_of_the_validation_target(prepared):
    rewards = rewards_of(prepared, "exact_hit", "behaviour")
    lists = np.array([[2, 3, -1], [5, 0, 1], [0, 8, 1], [0, 1, 2]])
    assert rewards.event_names == ("click", "purchase", "gift")
    assert rewards(lists).tolist() == [[1 / 2, 1 / 2], [1 / 3, 1.0], [pytest.approx(1 / 3)] * 2, [0, 0]]


def test_only_the_first_ten_items_count(prepared):
    lists = np.tile(np.arange(11, 23), (4, 1))
    lists[:, 10] = [2, 5, 8, 10]
    assert rewards_of(prepared, "exact_hit")(lists).tolist() == [[0.0]] * 4
    assert rewards_of(prepared, "exact_hit")(np.full((4, 3), -1)).tolist() == [[0.0]] * 4


def test_what_follows_a_target_is_read_from_rows_of_the_same_user_without_a_gap():
    users, lengths, targets = np.array([7, 5, 7, 7, 5]), np.array([3, 2, 2, 4, 4]), np.array([13, 52, 12, 14, 54])
    assert following(users, lengths, targets, 3).tolist() == [
        [13, 14, -1], [52, -1, -1], [12, 13, 14], [14, -1, -1], [54, -1, -1],
    ]  # fmt: skip
    assert following(users[:0], lengths[:0], targets[:0], 3).shape == (0, 3)


def test_a_purchase_in_the_next_validation_row_of_the_user_is_a_later_one(tmp_path):
    folder = write_prepared(tmp_path, [[0, 1]], [([0], 2)])
    write_targets(folder, "purchase", valid=[(0, [0], 2), (0, [0, 2], 5), (1, [3], 4)])
    rewards = rewards_of(folder, "delayed_purchase")
    assert rewards(np.array([[5, 2], [5, 2], [5, 4]])).tolist() == [[0.5 / 2], [0], [0]]


def test_the_table_of_transitions_stays_whole_for_validation_prompts(prepared):
    """The step 1 -> 12 was counted for another user: a validation target 12 must not take it out."""
    write_prepared(prepared, [[0, 1], [1, 12], [3, 4, 5]], [([0, 1], 12)])
    rewards = rewards_of(prepared, "transitions", events=("review",))
    assert rewards(np.array([[12]])).item() == pytest.approx(0.9)
    training = rewards.context._replace(from_training=True)
    rewards.context = training
    assert rewards(np.array([[12]])).item() == 0


class Lists:
    """Stands for a policy: it recommends these items."""

    def __init__(self, items) -> None:
        self.items = np.array(items)


def measured(prepared, monkeypatch, *lists, rewards=("exact_hit", "rank_log")):
    def recommend(self, policy, width, *, drop_seen=True):
        return policy.items[:, :width]

    monkeypatch.setattr(Validation, "lists", recommend)
    judge = rewards_of(prepared, *rewards)
    before_after = BeforeAfter(prepared, judge.validation, judge, drop_seen=True)
    return before_after, [before_after.measure(Lists(items)) for items in lists]


def test_before_and_after_are_the_figures_of_their_lists(prepared, monkeypatch):
    worse = [[2, 11, 12], [11, 5, 12], [11, 12, 13], [11, 12, 13]]
    better = [[2, 11, 12], [5, 11, 12], [8, 12, 13], [11, 12, 10]]
    before_after, (before, after) = measured(prepared, monkeypatch, worse, better)
    compared = before_after.compare(before, after, confidence=0.95)
    names = [f"{m}@{k}" for m in ("hr", "ndcg") for k in (1, 5, 10, 20, 50)]
    lists = ["coverage", "novelty", "diversity", "tail_share", "categories", "new_items", "purchases_among_hits"]
    lists = [f"{name}@10" for name in lists]
    assert list(compared["after"]) == [*names, "reward", "reward_exact_hit", "reward_rank_log", *lists]
    assert compared["before"]["hr@1"] == 0.25
    assert compared["before"]["ndcg@5"] == pytest.approx((1 + 1 / np.log2(3)) / 4)
    assert compared["after"]["hr@1"] == 0.75
    assert compared["after"]["hr@50"] == 1.0
    assert compared["after"]["coverage@10"] == pytest.approx(7 / NUM_ITEMS)
    assert compared["before"]["purchases_among_hits@10"] == 0.5
    assert compared["after"]["purchases_among_hits@10"] == 0.5
    assert compared["after"]["reward_exact_hit"] == pytest.approx(1 / 3)
    assert compared["change_ci"]["reward_rank_log"] == pytest.approx([0, 0])
    assert compared["change_ci"]["hr@1"][0] == 0  # of four users
    assert set(compared["change_ci"]) == {*names, "reward", "reward_exact_hit", "reward_rank_log"}


def test_without_purchases_in_the_data_or_hits_there_is_no_share_of_them(prepared, monkeypatch):
    none = [[11, 12, 13]] * 4
    before_after, (figures,) = measured(prepared, monkeypatch, none)
    assert "purchases_among_hits@10" not in before_after.figures(figures)
