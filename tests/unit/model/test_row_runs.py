"""Products with the children of prefixes, run by run, beside those with gathered vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.model.item_vectors import ItemVectors
from genrec.model.row_runs import RunGradient
from genrec.search.trie import Trie

CODES, WIDTH, TEXT = 4, 5, 3


def test_runs_of_rows_are_as_few_as_can_be_and_clearing_forgets_them():
    gradient = RunGradient(torch.nn.Parameter(torch.zeros(7, 2)))
    for start, end in ((5, 7), (0, 2), (1, 3), (5, 6)):
        gradient.add(start, end, torch.ones(1, end - start), torch.ones(1, 2))
    assert gradient.runs() == [(0, 3), (5, 7)]
    assert gradient.values[:, 0].tolist() == [1, 2, 1, 0, 0, 2, 1]
    gradient.clear()
    assert (gradient.runs(), gradient.values.abs().sum().item()) == ([], 0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_levels=st.integers(1, 4),
    has_text=st.booleans(),
    has_ids=st.booleans(),
    num_states=st.integers(1, 9),
)
def test_products_and_gradients_are_those_of_the_nodes_vectors(seed, num_levels, has_text, has_ids, num_states):
    if not has_text and not has_ids:
        has_ids = True
    rng = np.random.default_rng(seed)
    sids = rng.permutation(np.unique(rng.integers(0, CODES, (25, num_levels)), axis=0))
    text = rng.standard_normal((len(sids), TEXT)) if has_text else None
    torch.manual_seed(seed)
    plain = ItemVectors(sids, CODES, WIDTH, text, ids=has_ids, nodes=True)
    runs = ItemVectors(sids, CODES, WIDTH, text, ids=has_ids, nodes=True)
    runs.load_state_dict(plain.state_dict())
    runs.node_gradient = RunGradient(runs.nodes.weight)
    trie = plain.trie
    chosen = torch.from_numpy(rng.integers(0, len(sids), num_states))
    for level in range(num_levels):
        prefixes = torch.zeros(num_states, dtype=torch.int64)
        for before in range(level):
            prefixes = trie.advance(before, prefixes, plain.codes[chosen, before])
        inputs = [[torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed + n)).requires_grad_()
                   for n in (num_states, CODES)] for _ in range(2)]  # fmt: skip
        children = trie.children(level, prefixes.unsqueeze(1)).states[:, 0]
        there = children >= 0
        (states, rows), (same_states, same_rows) = inputs
        wanted = (states.unsqueeze(1) * plain.node_vectors(level, None, rows)[children.clamp_min(0)]).sum(-1)[there]
        found = runs.child_products(level, same_states, prefixes, same_rows)[there]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        weights = torch.randn(len(wanted), generator=torch.Generator().manual_seed(seed))
        (wanted * weights).sum().backward()
        (found * weights).sum().backward()
        for one, other in zip(*inputs, strict=True):
            torch.testing.assert_close(other.grad, one.grad, atol=1e-5, rtol=1e-4)
    for name, parameter in plain.named_parameters():
        if name != "nodes.weight" and parameter.grad is not None:
            torch.testing.assert_close(dict(runs.named_parameters())[name].grad, parameter.grad, atol=1e-5, rtol=1e-4)
    assert runs.nodes.weight.grad is None
    if num_levels > 1:
        torch.testing.assert_close(runs.node_gradient.values, plain.nodes.weight.grad, atol=1e-5, rtol=1e-4)


def test_the_root_s_children_are_one_run():
    items = ItemVectors(np.array([[0, 1], [2, 0], [2, 3]]), CODES, WIDTH, None, ids=True, nodes=True)
    items.node_gradient = RunGradient(items.nodes.weight)
    states = torch.ones(2, WIDTH)
    found = items.child_products(0, states, torch.zeros(2, dtype=torch.int64), torch.zeros(CODES, WIDTH))
    assert found.shape == (2, 2)
    assert found[0].tolist() == pytest.approx(items.nodes.weight[:2].sum(1).tolist(), abs=1e-6)
    assert Trie.from_sids(np.array([[0, 1], [2, 0], [2, 3]]), CODES).num_states(1) == 2
