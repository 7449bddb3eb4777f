"""The item view and the dense head against plain formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions
from genrec.model.vocab import SidVocabulary
from genrec.search.decode import beam_search
from genrec.search.prefixes import PrefixLogProbs
from genrec.search.trie import Trie
from genrec.train.base import train_tokenizer
from tests.support.lm_tiny import (
    MAX_HISTORY,
    NUM_CODES,
    VOCAB,
    random_histories,
    random_sids,
    sequence_logits,
    tiny_policy,
)

NUM_ITEMS, WIDTH = 40, 16
SIDS = random_sids(NUM_ITEMS, seed=3)
TEXT = np.random.default_rng(0).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
RAGGED = st.lists(st.integers(0, MAX_HISTORY + 3), min_size=1, max_size=4)


def item_policy(seed: int = 0, view: str = "item_tokens", weight: float | None = None, lora: bool = False) -> Policy:
    policy = tiny_policy(seed, lora=lora)
    items = ItemVectors(SIDS, NUM_CODES, WIDTH, TEXT, ids=True)
    with torch.no_grad():
        for parameter in items.parameters():
            parameter.mul_(20)  # wide enough apart that scores differ
    policy.use_items(items, view, dense_weight=weight)
    return policy


def plain_vectors(policy: Policy) -> torch.Tensor:
    """Embeddings of the codes, one by one through the model's own embedding, plus text, plus id: [N, D]."""
    embed = policy.causal_model.get_input_embeddings()
    total = sum(
        embed(VOCAB.first_token_id + level * NUM_CODES + torch.from_numpy(SIDS[:, level])) for level in range(3)
    )
    text = torch.from_numpy(TEXT / np.linalg.norm(TEXT, axis=1, keepdims=True))
    return total + text @ policy.items.projection.weight.T + policy.items.ids.weight


def plain_hidden(policy: Policy, history: np.ndarray, sid: np.ndarray) -> torch.Tensor:
    """Hidden states [L, D] of one unpadded, plainly causal row: BOS, items, then the candidate's tokens."""
    embed = policy.causal_model.get_input_embeddings()
    prompt = [embed(torch.tensor([VOCAB.bos_token_id])), plain_vectors(policy)[history[-policy.max_history :]]]
    tokens = embed(torch.from_numpy(VOCAB.token_ids(sid))[:-1])
    row = torch.cat([*prompt, tokens])[None]
    return policy.body(inputs_embeds=row).last_hidden_state[0, -3:]


def plain_scores(policy: Policy, history: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of every item by its semantic id [N, L], and log q by the dense head [N]."""
    by_sid = []
    for sid in SIDS:
        logits = (plain_hidden(policy, history, sid)[:, None] * policy.head_rows()).sum(-1)
        by_sid.append(logits.log_softmax(-1)[torch.arange(3), torch.from_numpy(sid).long()])
    last = plain_hidden(policy, history, SIDS[0])[0]
    return torch.stack(by_sid), (plain_vectors(policy) @ last).log_softmax(0)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), lengths=RAGGED, lora=st.booleans())
def test_a_full_beam_over_items_ranks_as_plain_forwards_do(seed, lengths, lora):
    policy = item_policy(seed, lora=lora)
    histories = random_histories(lengths, NUM_ITEMS, seed)
    prompts = policy.prompts(histories, SIDS)
    assert prompts.input_ids.shape[1] == 1 + min(max(lengths), MAX_HISTORY)
    found = beam_search(policy, prompts, Trie.from_sids(SIDS, NUM_CODES), NUM_ITEMS)
    for row, history in enumerate(histories):
        with torch.no_grad():
            by_sid, _ = plain_scores(policy, history)
        np.testing.assert_allclose(found.log_probs[row], by_sid[found.items[row]], atol=1e-4)
        assert sorted(found.items[row].tolist()) == list(range(NUM_ITEMS))


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_a_dense_head_joins_the_search_item_by_item(weight):
    policy = item_policy(1, weight=weight)
    histories = random_histories([3, 0], NUM_ITEMS, 1)
    found = beam_search(policy, policy.prompts(histories, SIDS), Trie.from_sids(SIDS, NUM_CODES), NUM_ITEMS)
    for row, history in enumerate(histories):
        with torch.no_grad():
            by_sid, dense = plain_scores(policy, history)
        joined = (1 - weight) * by_sid.sum(-1) + weight * dense
        np.testing.assert_allclose(found.scores[row], joined.sort(descending=True).values, atol=1e-4)
        np.testing.assert_allclose(found.scores[row], found.log_probs[row].sum(-1), atol=1e-5)
        np.testing.assert_allclose(found.scores[row], joined[found.items[row]], atol=1e-4)


SEQUENCES = [[0, 1, 2], [0, 1, 3, 1], [5, 5, 0]]


def transitions(window: int = 2, history_decay: float = 0.5) -> Transitions:
    offsets = np.cumsum([0, *map(len, SEQUENCES)])
    return Transitions.count(np.concatenate(SEQUENCES), offsets, NUM_ITEMS, window=window, history_decay=history_decay)


def test_transitions_count_one_over_their_distance():
    table = transitions()
    found = {
        (source, int(table.targets[edge])): float(table.weights[edge])
        for source in range(NUM_ITEMS)
        for edge in range(table.starts[source], table.starts[source + 1])
    }
    # 0 1 2: 0>1, 1>2 and, two apart, 0>2; 0 1 3 1: 0>1, 1>3, 3>1, 0>3 (1>1 is none); 5 5 0: 5>0 next and two apart
    assert found == {(0, 1): 2, (0, 2): 0.5, (0, 3): 0.5, (1, 2): 1, (1, 3): 1, (3, 1): 1, (5, 0): 1.5}


def test_transitions_are_mixed_in_as_probabilities_and_where_there_are_none_nothing_changes():
    before = torch.randn(3, NUM_ITEMS).log_softmax(-1)
    histories = torch.tensor([[1, 0], [7, -1], [-1, -1]])  # newest first
    mixed = transitions().mix(before, histories, 0.3)
    torch.testing.assert_close(mixed.exp().sum(1), torch.ones(3))
    torch.testing.assert_close(mixed[1:], before[1:])
    table = torch.zeros(NUM_ITEMS)
    table[1] = 0.5 * 2
    table[2] = 1 + 0.5 * 0.5
    table[3] = 1 + 0.5 * 0.5
    torch.testing.assert_close(mixed[0].exp(), 0.7 * before[0].exp() + 0.3 * table / table.sum())


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [[0, 1, 2, 6, 7], [0, 1, 0, 2, 2, 1, 0], [2, 2, 1, 2, 1, 2]])
def test_what_came_next_is_taken_out_as_if_it_had_not_been_counted(first, cut):
    sequences = [first, [4, 1, 2, 0], [3, 2, 6, 1], [1, 0, 6]]
    whole, short = (np.array(rows[0]) for rows in (sequences, [sequences[0][:cut]]))

    def table(first):
        rows = [list(first), *sequences[1:]]
        offsets = np.cumsum([0, *map(len, rows)])
        return Transitions.count(np.concatenate(rows), offsets, NUM_ITEMS, window=3, history_decay=0.6)

    before = torch.randn(1, NUM_ITEMS).log_softmax(-1)
    history = torch.from_numpy(short[::-1].copy())[None]
    following = torch.from_numpy(np.append(whole[cut:], [-1]))[None]
    mixed = table(whole).mix(before, history, 0.5, following)
    torch.testing.assert_close(mixed, table(short).mix(before, history, 0.5), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(mixed, table(whole).mix(before, history, 0.5), atol=1e-2)


def test_a_table_that_knew_nothing_but_the_answer_is_left_with_nothing():
    offsets = np.array([0, 3])
    table = Transitions.count(np.array([0, 1, 2]), offsets, NUM_ITEMS, window=5, history_decay=0.6)
    before = torch.randn(1, NUM_ITEMS).log_softmax(-1)
    mixed = table.mix(before, torch.tensor([[0, -1]]), 0.5, torch.tensor([[1, 2, -1]]))
    torch.testing.assert_close(mixed, before)


def test_only_the_strongest_transitions_are_kept(monkeypatch):
    monkeypatch.setattr("genrec.model.transitions.MAX_TARGETS", 1)
    table = transitions()
    assert table.starts.diff()[:6].tolist() == [1, 1, 0, 1, 0, 1]
    assert table.targets[0] == 1


def test_the_search_with_transitions_ranks_as_plain_formulas_do_and_so_does_the_saved_model(tmp_path):
    policy = item_policy(1, weight=0.6)
    policy.items.transitions, policy.transition_share = transitions(), 0.4
    histories = [np.array([4, 0]), np.array([5]), np.array([], dtype=np.int64)]
    trie = Trie.from_sids(SIDS, NUM_CODES)
    prompts = policy.prompts(histories, SIDS)
    found = beam_search(policy, prompts, trie, NUM_ITEMS)
    padded = torch.tensor([[0, 4], [5, -1], [-1, -1]])
    for row, history in enumerate(histories):
        with torch.no_grad():
            by_sid, dense = plain_scores(policy, history)
            dense = policy.items.transitions.mix(dense[None], padded[row : row + 1], 0.4)[0]
        joined = 0.4 * by_sid.sum(-1) + 0.6 * dense
        np.testing.assert_allclose(found.scores[row], joined.sort(descending=True).values, atol=1e-4)
    log_probs = policy.candidate_log_probs(prompts, found.sids)
    torch.testing.assert_close(log_probs.detach(), found.log_probs, atol=1e-5, rtol=1e-4)
    policy.items.save(tmp_path)
    again = ItemVectors.load(tmp_path, NUM_CODES)
    for name, tensor in policy.items.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("view", ["item_tokens", "sid_tokens"])
def test_candidates_score_as_the_search_scored_them_and_every_weight_learns(view):
    policy = item_policy(2, view, weight=0.4)
    prompts = policy.prompts(random_histories([3, 1], NUM_ITEMS, 2), SIDS)
    found = beam_search(policy, prompts, Trie.from_sids(SIDS, NUM_CODES), 8)
    log_probs = policy.candidate_log_probs(prompts, found.sids)
    torch.testing.assert_close(log_probs.detach(), found.log_probs, atol=1e-5, rtol=1e-4)
    log_probs.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in policy.items.parameters())


def test_training_over_items_sees_what_a_prompt_shows():
    policy = item_policy(5)
    history = random_histories([MAX_HISTORY + 1], NUM_ITEMS, 5)[0]
    padded = np.concatenate([history, [0, 0]])
    codes, items = torch.from_numpy(SIDS[padded]).long()[None], torch.from_numpy(padded)[None]
    logits = sequence_logits(policy, codes, items=items)
    for place in range(len(history)):
        prompts = policy.prompts([history[:place]], SIDS)
        shown, _ = policy.candidate_logits(prompts, codes[:, place : place + 1])
        torch.testing.assert_close(logits[:, place], shown[:, 0], atol=1e-5, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_prefix_is_as_likely_as_its_items(seed):
    log_probs = 5 * torch.randn(2, NUM_ITEMS, generator=torch.Generator().manual_seed(seed))
    log_probs = log_probs.log_softmax(-1)
    prefixes = PrefixLogProbs(Trie.from_sids(SIDS, NUM_CODES), log_probs)
    steps = prefixes.path(torch.from_numpy(SIDS).long().expand(2, -1, -1))
    torch.testing.assert_close(steps.sum(-1), log_probs, atol=1e-4, rtol=1e-4)
    first = prefixes.followers(0, torch.zeros(2, 1, dtype=torch.int64))[:, 0]
    for code in range(NUM_CODES):
        inside = torch.from_numpy(SIDS[:, 0] == code)
        expected = log_probs[:, inside].exp().sum(1).log() if inside.any() else torch.zeros(2)
        torch.testing.assert_close(first[:, code], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lora", [False, True])
def test_items_are_saved_with_the_model_and_come_back(tmp_path, lora):
    policy = item_policy(6, weight=0.25, lora=lora)
    base = None
    if lora:
        base = tmp_path / "base"
        tiny_policy(6).save(base)
    for name in ("a", "b"):
        policy.save(tmp_path / name)
    assert (tmp_path / "a/items.safetensors").read_bytes() == (tmp_path / "b/items.safetensors").read_bytes()
    loaded = Policy.load(tmp_path / "a", base, device="cpu")
    assert loaded.dense_weight == 0.25
    prompts = policy.prompts([np.array([1, 2])], SIDS)
    trie = Trie.from_sids(SIDS, NUM_CODES)
    if not lora:
        torch.testing.assert_close(beam_search(loaded, prompts, trie, 5), beam_search(policy, prompts, trie, 5))
    loaded.save(tmp_path / "c")
    assert (tmp_path / "c/items.safetensors").read_bytes() == (tmp_path / "a/items.safetensors").read_bytes()
    trainable = Policy.load(tmp_path / "a", base, device="cpu", trainable=True).trainable_parameters()
    assert {"items.projection.weight", "items.ids.weight"} <= set(trainable)


def test_another_catalogue_or_missing_item_vectors_are_clear_errors(tmp_path):
    policy = item_policy()
    with pytest.raises(DataError, match="trained on 40 items but there are 39"):
        policy.prompts([np.array([1])], SIDS[:-1])
    policy.save(tmp_path / "a")
    (tmp_path / "a/items.safetensors").unlink()
    with pytest.raises(DataError, match=r"items\.safetensors"):
        Policy.load(tmp_path / "a")
    with pytest.raises(DataError, match="39 text vectors for 40 semantic ids"):
        ItemVectors(SIDS, NUM_CODES, WIDTH, TEXT[:-1], ids=False)


@pytest.mark.parametrize("view", ["item_tokens", "sid_tokens"])
def test_an_instruction_opens_every_prompt_in_training_and_search_alike(tmp_path, view):
    tokenizer = train_tokenizer(["the customer bought, oldest first: "], 300)
    vocab = SidVocabulary(3, NUM_CODES, len(tokenizer), tokenizer.bos_token_id, tokenizer.pad_token_id)
    policy = tiny_policy(vocab=vocab)
    tokenizer.save_pretrained(tmp_path / "words")
    policy._tokenizer_files = tmp_path / "words"
    words = "The customer bought, oldest first: "
    policy.use_items(ItemVectors(SIDS, NUM_CODES, WIDTH, TEXT, ids=True), view, {"instruction": words})
    policy.save(tmp_path / "model")
    policy = Policy.load(tmp_path / "model", device="cpu")
    assert tokenizer.decode(policy.opening[1:]) == words
    history = random_histories([4], NUM_ITEMS, 5)[0]
    prompts = policy.prompts([history[:2], history], SIDS)
    assert prompts.attention_mask.sum(1).tolist() == [
        len(policy.opening) + n * (3 if view == "sid_tokens" else 1) for n in (2, 4)
    ]
    tokens = prompts.input_ids if view == "sid_tokens" else -1 - prompts.input_ids
    assert tokens[1, : len(policy.opening)].tolist() == policy.opening.tolist()
    codes = torch.from_numpy(SIDS[history]).long()[None]
    logits = sequence_logits(policy, codes, items=torch.from_numpy(history)[None])
    shown, _ = policy.candidate_logits(policy.prompts([history[:2]], SIDS), codes[:, 2:3])
    torch.testing.assert_close(logits[:, 2], shown[:, 0], atol=1e-5, rtol=1e-4)
    without = tiny_policy(vocab=vocab)
    without.use_items(policy.items, view)
    assert not torch.allclose(sequence_logits(without, codes, items=torch.from_numpy(history)[None]), logits)
