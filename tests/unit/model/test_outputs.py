"""The outputs against plain formulas over the whole catalogue."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec import variants
from genrec.errors import DataError
from genrec.model import outputs
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.search.decode import beam_search, sample, sample_distinct
from genrec.search.trie import Trie
from tests.support.lm_tiny import ADAPTERS, MAX_HISTORY, NUM_CODES, VOCAB, random_histories, random_sids, tiny_policy

NUM_ITEMS, WIDTH = 40, 16
SIDS = random_sids(NUM_ITEMS, seed=3)
TEXT = np.random.default_rng(0).normal(size=(NUM_ITEMS, 5)).astype(np.float32)
PREFIXES = {"name": "prefixes", "options": {}}


def prefix_policy(
    seed: int = 0,
    view: str = "item_tokens",
    mode: str = "full",
    text: bool = True,
    ids: bool = True,
    nodes: bool = True,
    history: bool = True,
) -> Policy:
    policy = tiny_policy(seed, mode=mode)
    items = ItemVectors(SIDS, NUM_CODES, WIDTH, TEXT if text else None, ids, nodes)
    with torch.no_grad():
        for parameter in items.parameters():
            parameter.mul_(20)  # wide enough apart that scores differ
    options = {"nodes": nodes, "history_state": history}
    policy.use_items(items, view, output={"name": "prefixes", "options": options})
    return policy


def node_vector(policy: Policy, prefix: tuple[int, ...]) -> torch.Tensor:
    """The output vector of a prefix from the items below it, one by one: [D]."""
    below = [item for item, sid in enumerate(SIDS.tolist()) if tuple(sid[: len(prefix)]) == prefix]
    vector = policy.head_rows()[len(prefix) - 1, prefix[-1]]
    items = policy.items
    if items.projection is not None:
        text = torch.from_numpy(TEXT / np.linalg.norm(TEXT, axis=1, keepdims=True))
        vector = vector + torch.stack([items.projection(text[item]) for item in below]).mean(0)
    if len(prefix) == 3 and items.ids is not None:
        vector = vector + items.ids.weight[below[0]]
    if len(prefix) < 3 and items.nodes is not None:
        inner = sorted({tuple(sid[:length]) for sid in SIDS.tolist() for length in (1, 2)}, key=lambda p: (len(p), p))
        vector = vector + items.nodes.weight[inner.index(prefix)]
    return vector


def plain_log_probs(policy: Policy, history: np.ndarray, adds_history: bool = True) -> torch.Tensor:
    """log p of every step of every item, [N, L], each by a softmax over the siblings of its own."""
    prompts = policy.prompts([history], SIDS)
    rows = []
    states = policy.candidate_logits(prompts, torch.from_numpy(SIDS.astype(np.int64))[None])[1][0]
    vectors = {tuple(sid[:n]): node_vector(policy, tuple(sid[:n])) for sid in SIDS.tolist() for n in (1, 2, 3)}
    for hidden, sid in zip(states, SIDS.tolist(), strict=True):
        steps = []
        for level in range(3):
            prefix = tuple(sid[:level])
            codes = sorted({s[level] for s in SIDS.tolist() if tuple(s[:level]) == prefix})
            state = hidden[level] + hidden[0] if level and adds_history else hidden[level]
            logits = torch.stack([state @ vectors[*prefix, code] for code in codes])
            steps.append(logits.log_softmax(0)[codes.index(sid[level])])
        rows.append(torch.stack(steps))
    return torch.stack(rows)


@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    view=st.sampled_from(["item_tokens", "sid_tokens"]),
    mode=st.sampled_from(ADAPTERS),
    parts=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_a_full_beam_by_prefixes_ranks_as_plain_softmaxes_over_siblings_do(seed, view, mode, parts):
    policy = prefix_policy(seed, view, mode, *parts)
    histories = random_histories([3, 0], NUM_ITEMS, seed)
    found = beam_search(policy, policy.prompts(histories, SIDS), Trie.from_sids(SIDS, NUM_CODES), NUM_ITEMS)
    for row, history in enumerate(histories):
        with torch.no_grad():
            plain = plain_log_probs(policy, history, parts[-1])
        np.testing.assert_allclose(found.log_probs[row], plain[found.items[row]], atol=1e-4)
        np.testing.assert_allclose(found.scores[row], plain.sum(1).sort(descending=True).values, atol=1e-4)
        assert plain.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-4)  # only items share the probability


def test_what_is_banned_changes_no_score_of_the_others():
    policy = prefix_policy(1)
    trie, prompts = Trie.from_sids(SIDS, NUM_CODES), policy.prompts(random_histories([4], NUM_ITEMS, 1), SIDS)
    free = beam_search(policy, prompts, trie, NUM_ITEMS)
    banned = free.items[0, :7].numpy()
    left = beam_search(policy, prompts, trie, NUM_ITEMS, [banned])
    np.testing.assert_array_equal(left.items[0, :-7], free.items[0, 7:])
    np.testing.assert_allclose(left.scores[0, :-7], free.scores[0, 7:], atol=1e-5)
    assert (left.items[0, -7:] == -1).all()


def test_candidates_of_every_search_score_as_the_search_scored_them():
    policy = prefix_policy(2)
    prompts = policy.prompts(random_histories([3, 1], NUM_ITEMS, 2), SIDS)
    trie, generator = Trie.from_sids(SIDS, NUM_CODES), torch.Generator().manual_seed(0)
    for search in (beam_search, sample, sample_distinct):
        more = () if search is beam_search else (1.0, generator)
        found = search(policy, prompts, trie, 6, *more)
        log_probs = policy.candidate_log_probs(prompts, found.sids)
        torch.testing.assert_close(log_probs.detach(), found.log_probs, atol=1e-5, rtol=1e-4)


def test_draws_follow_the_probabilities_of_the_items():
    policy = prefix_policy(3)
    history = random_histories([2], NUM_ITEMS, 3)[0]
    with torch.no_grad():
        expected = plain_log_probs(policy, history).sum(1).exp().numpy()
    drawn = sample(
        policy,
        policy.prompts([history] * 200, SIDS),
        Trie.from_sids(SIDS, NUM_CODES),
        100,
        generator=torch.Generator().manual_seed(1),
    )
    share = np.bincount(drawn.items.flatten().numpy(), minlength=NUM_ITEMS) / 20_000
    np.testing.assert_allclose(share, expected, atol=0.015)


@pytest.mark.parametrize("mode", ADAPTERS)
def test_gradients_are_those_of_plain_softmaxes(mode):
    policy = prefix_policy(4, mode=mode)
    history = random_histories([4], NUM_ITEMS, 4)[0]
    parameters = policy.trainable_parameters()
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(NUM_ITEMS, 3)).astype(np.float32))
    sids = torch.from_numpy(SIDS.astype(np.int64))[None]
    ours = policy.candidate_log_probs(policy.prompts([history], SIDS), sids)[0]
    found = torch.autograd.grad((ours * weights).sum(), parameters.values(), allow_unused=True)
    plain = torch.autograd.grad(
        (plain_log_probs(policy, history) * weights).sum(), parameters.values(), allow_unused=True
    )
    for name, a, b in zip(parameters, found, plain, strict=True):
        assert (a is None) == (b is None), name
        if a is not None:
            torch.testing.assert_close(a, b, atol=2e-4, rtol=2e-3, msg=name)
    assert {name for name, g in zip(parameters, found, strict=True) if g is not None} >= {
        "items.projection.weight",
        "items.ids.weight",
        "items.nodes.weight",
    }


def test_few_targets_in_a_wide_catalogue_are_scored_as_many_are():
    """Children are gathered one by one or multiplied together, by what is cheaper; the numbers are the same."""
    sids = random_sids(30**3 // 2, seed=1, num_codes=30)
    items = ItemVectors(sids, 30, 8, None, ids=True, nodes=True)
    rows = torch.randn(3, 30, 8, generator=torch.Generator().manual_seed(0))
    module, options = variants.build(outputs.PACKAGE, "prefixes", {})
    output, model = module.Output(options), _Rows(items, rows)
    codes = torch.from_numpy(sids[:400].astype(np.int64))
    hidden = torch.randn(400, 3, 8, generator=torch.Generator().manual_seed(1))
    together = output.logits(model, hidden, codes)
    alone = torch.cat([output.logits(model, hidden[i : i + 1], codes[i : i + 1]) for i in range(400)])
    torch.testing.assert_close(together, alone)
    trie = Trie.from_sids(sids, 30)
    children = trie.children(1, trie.advance(0, torch.zeros(400, dtype=torch.int64), codes[:, 0])[:, None])
    steps = output.step_scores(model)(1, hidden[:, 1:2], hidden[:, 0], children)[:, 0].detach()
    there = children.states[:, 0] >= 0
    picked = together.log_softmax(-1)[:, 1].gather(1, children.codes[:, 0].clamp_min(0)).detach()
    torch.testing.assert_close(steps[there], picked[there])


class _Rows:
    """As much of a model as an output reads."""

    def __init__(self, items: ItemVectors, rows: torch.Tensor) -> None:
        self.items, self._rows = items, rows

    def head_rows(self) -> torch.Tensor:
        return self._rows


def test_missing_candidates_cost_nothing_and_send_no_gradient():
    policy = prefix_policy(5)
    prompts = policy.prompts(random_histories([3], NUM_ITEMS, 5), SIDS)
    sids = torch.tensor([[SIDS[0].tolist(), [-1, -1, -1]]])
    log_probs = policy.candidate_log_probs(prompts, sids)
    assert log_probs[0, 1].tolist() == [0, 0, 0]
    log_probs.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in policy.trainable_parameters().values() if p.grad is not None)


def test_the_saved_model_searches_as_the_one_that_was_trained(tmp_path):
    policy = prefix_policy(6)
    policy.save(tmp_path)
    again = Policy.load(tmp_path)
    trie, histories = Trie.from_sids(SIDS, NUM_CODES), random_histories([3, MAX_HISTORY], NUM_ITEMS, 6)
    first, second = (beam_search(p, p.prompts(histories, SIDS), trie, 10) for p in (policy, again))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert again.items.nodes.weight.shape == policy.items.nodes.weight.shape


def test_what_training_never_showed_is_known_by_code_and_text_alone():
    sids = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    items = ItemVectors(sids, 2, WIDTH, np.eye(4, dtype=np.float32), ids=True, nodes=True)
    before = [w.weight.detach().clone() for w in (items.ids, items.nodes, items.projection)]
    items.forget_unseen(np.array([0, 3, 3]))
    assert (items.ids.weight[[1, 2]] == 0).all()
    assert torch.equal(items.ids.weight[[0, 3]], before[0][[0, 3]])
    # Rows of inner nodes: (0) (1) (0 0) (0 1) (1 0); only (0 1) has no item that was shown.
    assert (items.nodes.weight[3] == 0).all()
    assert torch.equal(items.nodes.weight[[0, 1, 2, 4]], before[1][[0, 1, 2, 4]])
    rows = torch.zeros(2, WIDTH)
    text = items.projection.weight[:, 2]  # of item 2, whose text vector is the third unit vector
    leaf = items.trie.advance(2, items.trie.advance(1, torch.tensor([0]), torch.tensor([1])), torch.tensor([0]))
    torch.testing.assert_close(items.node_vectors(2, leaf, rows)[0], text)


def test_prefixes_without_item_vectors_are_a_clear_error():
    policy = tiny_policy()
    policy.use_items(None, output=PREFIXES)
    with pytest.raises(DataError, match="prefixes"):
        policy.candidate_log_probs(policy.prompts([np.array([0])], SIDS), torch.zeros(1, 1, 3, dtype=torch.int64))
    assert VOCAB.num_levels == 3


@pytest.mark.parametrize(("factor", "gathered"), [(128, 1 << 28), (0, 64)], ids=["dense", "gathered"])
def test_a_gpu_scores_without_waiting_what_a_cpu_does(monkeypatch, factor, gathered):
    policy = prefix_policy(3)
    prompts = policy.prompts(random_histories([3, 1, 5], NUM_ITEMS, 3), SIDS)
    trie, candidates = Trie.from_sids(SIDS, NUM_CODES), torch.from_numpy(SIDS[:30].astype(np.int64)).view(3, 10, 3)

    def found():
        scores = policy.candidate_log_probs(prompts, candidates)
        for parameter in policy.trainable_parameters().values():
            parameter.grad = None
        scores.mean().backward()
        gradients = [p.grad for p in policy.trainable_parameters().values()]
        return scores.detach(), gradients, beam_search(policy, prompts, trie, 20).scores

    wanted = found()
    monkeypatch.setattr("genrec.model.outputs.prefixes._on_gpu", lambda tensor: True)
    monkeypatch.setattr("genrec.model.outputs.prefixes._DENSE_FACTOR_ON_GPU", factor)
    monkeypatch.setattr("genrec.model.outputs.prefixes._MOST_GATHERED", gathered)
    monkeypatch.setattr("genrec.search.decode.fits", lambda body: False)
    monkeypatch.delattr(torch.Tensor, "unique")
    torch.testing.assert_close(found(), wanted, atol=1e-5, rtol=1e-4)
