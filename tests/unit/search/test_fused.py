from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.search import decode
from genrec.search.decode import beam_search
from genrec.search.fused import FusedSiblings, fits
from genrec.search.layout import PromptBatch, Siblings
from genrec.search.trie import Trie
from tests.support.lm_tiny import MAX_HISTORY, NUM_CODES, VOCAB, random_histories, random_sids, tiny_policy

NUM_ITEMS = 90
SIDS = random_sids(NUM_ITEMS, seed=7)
TRIE = Trie.from_sids(SIDS, NUM_CODES)
# Over 600 random models the stock modules are within 1.3e-5 of float64, and the fused forward within 1.5e-5.
ROUNDING = 5e-5
SIZES = {"vocab_size": VOCAB.end_token_id, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4}


def dense_policy(seed: int = 0, num_layers: int = 2, num_kv_heads: int = 2, tied: bool = True) -> Policy:
    """A Qwen2 with every weight random, those that start at 0 and 1 included."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        **SIZES,
        num_hidden_layers=num_layers,
        num_key_value_heads=num_kv_heads,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
    )
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return Policy(model, VOCAB, MAX_HISTORY, {"kind": "base", "adapter": "full"}, Path())


def some_prompts(policy: Policy, lengths: list[int], side: str, seed: int) -> PromptBatch:
    """Random histories, padded on a side."""
    prompts = policy.prompts(random_histories(lengths, NUM_ITEMS, seed), SIDS)
    if side == "left":
        return prompts
    shift = prompts.attention_mask.sum(1, keepdim=True)
    order = (torch.arange(prompts.input_ids.shape[1]) - shift) % prompts.input_ids.shape[1]
    return PromptBatch(*(t.gather(1, order) for t in prompts[:2]), prompts.histories)


@pytest.fixture
def reads(monkeypatch) -> list:
    """The classes that read a search's prompts, in order."""
    used = []
    for cls in (Siblings, FusedSiblings):

        def make(*args, cls=cls):
            used.append(cls)
            return cls(*args)

        monkeypatch.setattr(decode, cls.__name__, make)
    return used


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_layers=st.integers(1, 3),
    num_kv_heads=st.sampled_from([1, 2, 4]),
    tied=st.booleans(),
    lengths=st.lists(st.integers(0, MAX_HISTORY), min_size=1, max_size=5),
    side=st.sampled_from(["left", "right"]),
    tokens=st.sampled_from([1, 20, 2048]),
)
@torch.no_grad()
def test_hidden_states_are_those_of_the_stock_modules(seed, num_layers, num_kv_heads, tied, lengths, side, tokens):
    policy = dense_policy(seed, num_layers, num_kv_heads, tied)
    assert fits(policy.body)
    prompts = some_prompts(policy, lengths, side, seed)
    embeds = policy.prompt_embeds(prompts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genrec.search.fused._TOKENS", tokens)  # slices of one row, of some and of all
        fused = FusedSiblings(policy.body, prompts.input_ids, embeds, prompts.attention_mask, 12, torch.float32)
        stock = Siblings(policy.body, embeds, prompts.attention_mask)
        torch.testing.assert_close(fused.last_hidden, stock.last_hidden, atol=ROUNDING, rtol=0)
        generator = torch.Generator().manual_seed(seed)
        for level, (before, width) in enumerate([(1, 5), (5, 7)]):
            tokens_ = policy.token_ids(torch.randint(NUM_CODES, (len(lengths), width), generator=generator), level)
            parents = torch.randint(before, (len(lengths), width), generator=generator)
            torch.testing.assert_close(
                fused.extend(tokens_, parents), stock.extend(tokens_, parents), atol=ROUNDING, rtol=0
            )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(0, MAX_HISTORY), min_size=1, max_size=5),
    side=st.sampled_from(["left", "right"]),
    tokens=st.sampled_from([1, 20, 2048]),
    share=st.sampled_from([0.0, 0.2, 0.8, 1.0]),
)
@torch.no_grad()
def test_states_that_are_needed_do_not_depend_on_those_that_are_left_out(seed, lengths, side, tokens, share):
    policy = dense_policy(seed)
    prompts = some_prompts(policy, lengths, side, seed)
    embeds = policy.prompt_embeds(prompts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genrec.search.fused._TOKENS", tokens)
        fused = FusedSiblings(policy.body, prompts.input_ids, embeds, prompts.attention_mask, 19, torch.float32)
        stock = Siblings(policy.body, embeds, prompts.attention_mask)
        generator = torch.Generator().manual_seed(seed)
        needed = torch.ones(len(lengths), 1, dtype=torch.bool)
        for level, (before, width) in enumerate([(1, 5), (5, 7), (7, 7)]):
            codes = torch.randint(NUM_CODES, (len(lengths), width), generator=generator)
            parents = torch.randint(before, (len(lengths), width), generator=generator)
            # What continues a state that was left out is left out as well.
            needed = needed.gather(1, parents) & (torch.rand(codes.shape, generator=generator) < share)
            found, wanted = (way.extend(policy.token_ids(codes, level % 3), parents, needed) for way in (fused, stock))
            torch.testing.assert_close(found[needed], wanted[needed], atol=ROUNDING, rtol=0)
            assert found.isfinite().all()


def test_ids_that_no_other_item_shares_are_certain_without_a_forward(monkeypatch):
    """Every item has a first code of its own: after it nothing is open, and no beam is computed."""
    sids = np.array([[code, code % 3, code % 2] for code in range(NUM_CODES)])
    policy = dense_policy()
    text = np.random.default_rng(0).normal(size=(len(sids), 4)).astype(np.float32)
    policy.use_items(
        ItemVectors(sids, NUM_CODES, 16, text, ids=True, nodes=True), output={"name": "prefixes", "options": {}}
    )
    appended = []
    monkeypatch.setattr(FusedSiblings, "_append", lambda *arguments: appended.append(arguments))
    found = beam_search(policy, policy.prompts([np.array([3])], sids), Trie.from_sids(sids, NUM_CODES), NUM_CODES)
    assert not appended
    assert (found.log_probs[..., 1:] == 0).all()
    torch.testing.assert_close(found.log_probs[..., 0].exp().sum(), torch.tensor(1.0))


def test_plain_models_are_searched_this_way(reads):
    policy = dense_policy()
    beam_search(policy, policy.prompts([np.array([3])], SIDS), TRIE, 5)
    assert reads == [FusedSiblings]


def llama_policy() -> Policy:
    config = LlamaConfig(**SIZES, num_hidden_layers=2, num_key_value_heads=2, initializer_range=0.3)
    return Policy(LlamaForCausalLM(config).eval(), VOCAB, MAX_HISTORY, {"kind": "base", "adapter": "full"}, Path())


def half_precision_policy() -> Policy:
    policy = dense_policy()
    policy.model.to(torch.bfloat16)
    return policy


def hooked_type_policy() -> Policy:
    class Other(torch.nn.Linear):
        pass

    policy = dense_policy()
    policy.body.layers[1].mlp.down_proj.__class__ = Other
    return policy


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: tiny_policy(mode="lora"), lambda: tiny_policy(mode="ptuning_v2")),
        *(llama_policy, half_precision_policy, hooked_type_policy),
    ],
)
def test_other_models_are_searched_through_their_own_modules(make, reads):
    policy = make()
    found = beam_search(policy, policy.prompts([np.array([3])], SIDS), TRIE, 5)
    assert (found.items >= 0).all()
    assert reads == [Siblings]


def test_a_model_too_large_to_gather_is_searched_through_its_own_modules(reads, monkeypatch):
    monkeypatch.setattr("genrec.search.fused._MAX_WEIGHTS", 1000)
    policy = dense_policy()
    beam_search(policy, policy.prompts([np.array([3])], SIDS), TRIE, 5)
    assert reads == [Siblings]


@pytest.mark.parametrize("way", ["optimizer", "data", "load"])
def test_weights_changed_in_place_are_seen_by_the_next_search(way):
    policy, other = dense_policy(1), dense_policy(2)
    prompts = policy.prompts([np.array([3, 4])], SIDS)
    beam_search(policy, prompts, TRIE, 20)
    pairs = list(zip(policy.model.parameters(), other.model.parameters(), strict=True))
    if way == "load":
        policy.model.load_state_dict(other.model.state_dict())
    elif way == "data":
        for parameter, target in pairs:
            parameter.data.copy_(target)
    else:
        for parameter, target in pairs:
            parameter.grad = parameter.detach() - target.detach()
        torch.optim.SGD(policy.model.parameters(), lr=1.0).step()
    found, expected = (beam_search(p, prompts, TRIE, 20).scores for p in (policy, other))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_search_repeats_to_the_bit_and_leaves_the_model_as_it_was():
    policy = dense_policy(3)
    prompts = policy.prompts(random_histories([4, 0, 2], NUM_ITEMS, 3), SIDS)
    before = {name: p.clone() for name, p in policy.model.state_dict().items()}
    first, second = (beam_search(policy, prompts, TRIE, 20) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(p, before[name]) for name, p in policy.model.state_dict().items())


@pytest.mark.parametrize(
    "make", [lambda: dense_policy(4), lambda: tiny_policy(4, mode="lora"), lambda: tiny_policy(4, mode="ptuning_v2")]
)
@pytest.mark.parametrize("parts", [["search_dtype"], ["search_dtype", "forward_dtype"]])
def test_bfloat16_leaves_scores_near_and_in_float32(make, parts):
    policy = make()
    prompts = policy.prompts(random_histories([4, 0, 2], NUM_ITEMS, 4), SIDS)
    full = beam_search(policy, prompts, TRIE, NUM_ITEMS)
    for part in parts:
        setattr(policy, part, torch.bfloat16)
    half = beam_search(policy, prompts, TRIE, NUM_ITEMS)
    assert half.scores.dtype == torch.float32
    expected, found = (f.scores.gather(1, f.items.argsort(1)) for f in (full, half))
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=0.5, rtol=0)
