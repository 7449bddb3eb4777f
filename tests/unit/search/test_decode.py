import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.search.decode import beam_search, rank_users, sample, sample_distinct
from genrec.search.trie import Trie
from tests.support.lm_tiny import (
    ADAPTERS,
    MAX_HISTORY,
    NUM_CODES,
    plain_beam,
    plain_log_probs,
    random_histories,
    random_sids,
    tiny_policy,
)

NUM_ITEMS = 90
SIDS = random_sids(NUM_ITEMS, seed=7)
RAGGED = st.lists(st.integers(0, MAX_HISTORY + 3), min_size=1, max_size=4)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=RAGGED, tied=st.booleans(), mode=st.sampled_from(ADAPTERS))
def test_beam_20_is_the_beam_of_brute_force_scores(seed, lengths, tied, mode):
    policy = tiny_policy(seed, tied, mode=mode)
    histories = random_histories(lengths, NUM_ITEMS, seed)
    found = beam_search(policy, policy.prompts(histories, SIDS), Trie.from_sids(SIDS, NUM_CODES), 20)
    for row, history in enumerate(histories):
        with torch.no_grad():
            plain = plain_log_probs(policy, history, SIDS)
        items = found.items[row].numpy()
        np.testing.assert_allclose(found.log_probs[row], plain[items], atol=1e-4)
        np.testing.assert_allclose(found.scores[row], plain[plain_beam(plain.numpy(), SIDS, 20)].sum(-1), atol=1e-4)
        np.testing.assert_array_equal(found.sids[row], SIDS[items])


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=RAGGED, mode=st.sampled_from(ADAPTERS))
def test_a_beam_over_all_prefixes_ranks_the_whole_catalogue(seed, lengths, mode):
    policy = tiny_policy(seed, mode=mode)
    histories = random_histories(lengths, NUM_ITEMS, seed)
    found = beam_search(policy, policy.prompts(histories, SIDS), Trie.from_sids(SIDS, NUM_CODES), NUM_ITEMS)
    for row, history in enumerate(histories):
        with torch.no_grad():
            plain = plain_log_probs(policy, history, SIDS).sum(-1)
        np.testing.assert_allclose(found.scores[row], plain.sort(descending=True).values, atol=1e-4)
        assert sorted(found.items[row].tolist()) == list(range(NUM_ITEMS))


def test_banned_items_make_room_for_the_next_best():
    policy, trie = tiny_policy(1), Trie.from_sids(SIDS, NUM_CODES)
    prompts = policy.prompts([np.array([3]), np.array([5, 6])], SIDS)
    everything = beam_search(policy, prompts, trie, NUM_ITEMS)
    banned = [everything.items[row, :30].numpy() for row in range(2)]
    found = beam_search(policy, prompts, trie, NUM_ITEMS, banned=banned)
    torch.testing.assert_close(found.items[:, : NUM_ITEMS - 30], everything.items[:, 30:])
    assert (found.items[:, NUM_ITEMS - 30 :] == -1).all()
    narrow = beam_search(policy, prompts, trie, 20, banned=banned)
    assert (narrow.items >= 0).all()
    assert not any(np.isin(narrow.items[row], banned[row]).any() for row in range(2))


def test_an_empty_allowed_set_gives_an_empty_list():
    policy, trie = tiny_policy(), Trie.from_sids(SIDS, NUM_CODES)
    prompts = policy.prompts([np.array([3])] * 3, SIDS)
    allowed = [np.array([], dtype=np.int64), np.array([8, 2]), None]
    found = beam_search(policy, prompts, trie, 20, allowed=allowed)
    assert (found.items[0] == -1).all()
    assert torch.isneginf(found.scores[0]).all()
    assert sorted(found.items[1].tolist())[-2:] == [2, 8]
    assert (found.items[1] >= 0).sum() == 2
    assert (found.items[2] >= 0).all()


def test_lists_do_not_depend_on_who_shares_the_batch():
    policy, trie = tiny_policy(2), Trie.from_sids(SIDS, NUM_CODES)
    histories = random_histories([0, 7, 3, 1, 5], NUM_ITEMS, 2)
    told = []
    items, scores = rank_users(
        policy, histories, SIDS, trie, 10, banned=histories, batch_size=2, on_batch=lambda *batch: told.append(batch)
    )
    alone, alone_scores = rank_users(policy, histories, SIDS, trie, 10, banned=histories, batch_size=1)
    np.testing.assert_array_equal(items, alone)
    np.testing.assert_allclose(scores, alone_scores, atol=1e-5)
    assert sorted(np.concatenate([rows for rows, _ in told]).tolist()) == list(range(len(histories)))
    for rows, found in told:
        np.testing.assert_array_equal(found.items.numpy(), items[rows])
        listed = found.items >= 0
        np.testing.assert_array_equal(found.sids[listed].numpy(), SIDS[found.items[listed]])


def test_samples_follow_the_renormalised_probabilities():
    sids = random_sids(5, seed=1)
    policy, trie = tiny_policy(4), Trie.from_sids(sids, NUM_CODES)
    prompts = policy.prompts([np.array([2])] * 100, sids)
    with torch.no_grad():
        log_probs = policy.candidate_log_probs(prompts, torch.from_numpy(sids).long().expand(100, -1, -1))[0].numpy()
    expected = np.ones(5)
    for item, sid in enumerate(sids.tolist()):  # product over levels of p(code) / p(all codes that may follow)
        for level in range(3):
            codes = {s[level]: log_probs[i, level] for i, s in enumerate(sids.tolist()) if s[:level] == sid[:level]}
            expected[item] *= np.exp(log_probs[item, level]) / np.exp(list(codes.values())).sum()
    drawn = sample(policy, prompts, trie, 200, generator=torch.Generator().manual_seed(0))
    share = np.bincount(drawn.items.flatten(), minlength=5) / 20_000
    np.testing.assert_allclose(share, expected, atol=0.015)
    np.testing.assert_allclose(drawn.log_probs[0], log_probs[drawn.items[0]], atol=1e-5)


def test_sampling_repeats_with_its_generator_and_respects_bans():
    policy, trie = tiny_policy(4), Trie.from_sids(SIDS, NUM_CODES)
    prompts = policy.prompts([np.array([2]), np.array([], dtype=np.int64)], SIDS)
    banned = [np.arange(0, NUM_ITEMS, 2), np.arange(NUM_ITEMS)]
    draws = [
        sample(policy, prompts, trie, 64, 2.0, torch.Generator().manual_seed(9), banned).items.numpy() for _ in range(2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0][0] % 2 == 1).all()
    assert (draws[0][1] == -1).all()


def test_distinct_samples_come_in_the_order_of_drawing_without_replacement():
    sids = random_sids(5, seed=1)
    policy, trie = tiny_policy(4), Trie.from_sids(sids, NUM_CODES)
    prompts = policy.prompts([np.array([2])] * 500, sids)
    generator = torch.Generator().manual_seed(1)
    once = sample(policy, prompts, trie, 200, generator=generator)
    p = np.bincount(once.items.flatten(), minlength=5) / 100_000
    drawn = [sample_distinct(policy, prompts, trie, 3, generator=generator) for _ in range(40)]
    items = torch.cat([found.items for found in drawn]).numpy()
    assert all(len(set(row)) == 3 for row in items.tolist())
    np.testing.assert_allclose(np.bincount(items[:, 0], minlength=5) / len(items), p, atol=0.015)
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (items[:, 0], items[:, 1]), 1 / len(items))
    expected = p[:, None] * p[None, :] / (1 - p[:, None])  # first a, then b among the rest
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(pairs, expected, atol=0.015)
    log_probs = policy.candidate_log_probs(prompts, drawn[0].sids).detach()
    torch.testing.assert_close(drawn[0].log_probs, log_probs, atol=1e-5, rtol=1e-4)


def test_distinct_samples_respect_bans_and_leave_places_empty_when_items_run_out():
    policy, trie = tiny_policy(4), Trie.from_sids(SIDS, NUM_CODES)
    prompts = policy.prompts([np.array([2])] * 3, SIDS)
    banned = [np.arange(NUM_ITEMS - 4), np.arange(NUM_ITEMS), np.array([], dtype=np.int64)]
    draws = [
        sample_distinct(policy, prompts, trie, 30, 2.0, torch.Generator().manual_seed(9), banned).items
        for _ in range(2)
    ]
    assert torch.equal(*draws)
    assert sorted(draws[0][0].tolist()) == [-1] * 26 + list(range(NUM_ITEMS - 4, NUM_ITEMS))
    assert (draws[0][1] == -1).all()
    assert len(set(draws[0][2].tolist())) == 30


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=RAGGED, mode=st.sampled_from(ADAPTERS))
def test_padding_on_the_right_gives_the_same_scores(seed, lengths, mode):
    policy, trie = tiny_policy(seed, mode=mode), Trie.from_sids(SIDS, NUM_CODES)
    left = policy.prompts(random_histories(lengths, NUM_ITEMS, seed), SIDS)
    shift = left.attention_mask.sum(1, keepdim=True)
    order = (torch.arange(left.input_ids.shape[1]) - shift) % left.input_ids.shape[1]
    right = type(left)(left.input_ids.gather(1, order), left.attention_mask.gather(1, order), left.histories)
    assert (right.attention_mask.diff(dim=1) <= 0).all()
    expected, found = (beam_search(policy, prompts, trie, 20) for prompts in (left, right))
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-4)
    group = expected.sids[:, :5]
    torch.testing.assert_close(
        policy.candidate_log_probs(right, group), policy.candidate_log_probs(left, group), atol=1e-4, rtol=1e-4
    )
