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
from genrec.search.trie import Trie
from genrec.train.base import train_tokenizer
from tests.support.lm_tiny import (
    ADAPTERS,
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


def item_policy(seed: int = 0, view: str = "item_tokens", weight: float | None = None, mode: str = "full") -> Policy:
    policy = tiny_policy(seed, mode=mode)
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
@given(seed=st.integers(0, 10**6), lengths=RAGGED, mode=st.sampled_from(ADAPTERS))
def test_a_full_beam_over_items_ranks_as_plain_forwards_do(seed, lengths, mode):
    policy = item_policy(seed, mode=mode)
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


def test_the_search_with_transitions_ranks_as_plain_formulas_do_and_so_does_the_saved_model(tmp_path):
    policy = item_policy(1, weight=0.6)
    offsets, sequences = np.array([0, 3, 7, 10]), np.array([0, 1, 2, 0, 1, 3, 1, 5, 5, 0])
    table = Transitions.count(sequences, offsets, NUM_ITEMS, window=2, history_decay=0.5)
    policy.items.transitions, policy.transition_share = table, 0.4
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


@pytest.mark.parametrize("mode", ADAPTERS)
def test_items_are_saved_with_the_model_and_come_back(tmp_path, mode):
    policy = item_policy(6, weight=0.25, mode=mode)
    base = None
    if mode != "full":
        base = tmp_path / "base"
        tiny_policy(6).save(base)
    for name in ("a", "b"):
        policy.save(tmp_path / name)
    assert (tmp_path / "a/items.safetensors").read_bytes() == (tmp_path / "b/items.safetensors").read_bytes()
    loaded = Policy.load(tmp_path / "a", base, device="cpu")
    assert loaded.dense_weight == 0.25
    prompts = policy.prompts([np.array([1, 2])], SIDS)
    trie = Trie.from_sids(SIDS, NUM_CODES)
    if mode == "full":
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
