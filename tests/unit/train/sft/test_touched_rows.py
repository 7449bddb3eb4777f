import copy

import numpy as np
import pytest
import torch
from torch import nn

from genrec.config import SftConfig
from genrec.model.item_vectors import ItemVectors
from genrec.model.row_runs import RunGradient
from genrec.train.sft import touched_rows
from genrec.train.sft.touched_rows import RowAdamW
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from tests.support.rl_tiny import MAX_HISTORY, SIDS, tiny_policy
from tests.support.sft_runs import CONFIG, CYCLES

ROWS, WIDTH = 7, 3


def _optimizers():
    table = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
    both = [nn.Parameter(table.clone()) for _ in range(2)]
    kinds = (torch.optim.AdamW, RowAdamW)
    return both, [kind([p], lr=0.1, betas=(0.9, 0.98), weight_decay=0.2) for kind, p in zip(kinds, both, strict=True)]


def _sparse(rows, values):
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (ROWS, WIDTH), check_invariants=True)


def test_where_every_row_is_read_each_step_is_that_of_adamw():
    (dense, sparse), optimizers = _optimizers()
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        gradient = torch.randn(ROWS, WIDTH, generator=generator)
        order = torch.randperm(ROWS, generator=generator)
        halves = gradient[order] / 2  # a row that is read twice has two gradients
        dense.grad = gradient
        sparse.grad = _sparse(order.tolist() * 2, torch.cat([halves, halves]))
        for optimizer in optimizers:
            optimizer.step()
        torch.testing.assert_close(sparse, dense)
    for slot in ("step", "exp_avg", "exp_avg_sq"):  # so that a checkpoint of one is one of the other
        torch.testing.assert_close(optimizers[1].state[sparse][slot], optimizers[0].state[dense][slot])


def test_rows_that_are_not_read_stay_and_the_others_are_moved_by_their_own_gradient():
    (dense, sparse), optimizers = _optimizers()
    before = sparse.detach().clone()
    values = torch.ones(2, WIDTH)
    dense.grad, sparse.grad = _sparse([5, 2], values).to_dense(), _sparse([5, 2], values)
    for optimizer in optimizers:
        optimizer.step()
    torch.testing.assert_close(sparse[[2, 5]], dense[[2, 5]])
    others = [0, 1, 3, 4, 6]
    assert torch.equal(sparse[others], before[others])


def _apart(parameter, runs):
    """A gradient of ones on runs of rows, kept apart, and the same as a tensor."""
    gradient, full = RunGradient(parameter), torch.zeros_like(parameter, requires_grad=False)
    for start, end in runs:
        gradient.add(start, end, torch.ones(1, end - start), torch.ones(1, WIDTH))
        full[start:end] += 1
    return gradient, full


def test_runs_of_rows_are_moved_as_the_same_gradient_held_in_full_and_others_stay():
    (dense, apart), _ = _optimizers()
    before = apart.detach().clone()
    gradient, full = _apart(apart, [(1, 4), (3, 5)])
    options = {"lr": 0.1, "betas": (0.9, 0.98), "weight_decay": 0.2}
    optimizers = torch.optim.AdamW([dense], **options), RowAdamW([apart], apart={apart: gradient}, **options)
    dense.grad = full
    for optimizer in optimizers:
        optimizer.step()
    torch.testing.assert_close(apart[1:5], dense[1:5])
    assert torch.equal(apart[[0, 5, 6]], before[[0, 5, 6]])
    assert not gradient.runs()
    moved = apart.detach().clone()
    optimizers[1].step()  # nothing was read
    assert torch.equal(apart, moved)
    assert optimizers[1].state[apart]["step"] == 1


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping_scales_gradients_that_are_kept_apart_by_the_norm_of_all(limit):
    parameters = [nn.Parameter(torch.zeros(ROWS, WIDTH)), nn.Parameter(torch.zeros(4))]
    full = copy.deepcopy(parameters)
    gradient, full[0].grad = _apart(parameters[0], [(0, 2), (5, 6)])
    parameters[1].grad, full[1].grad = torch.ones(4), torch.ones(4)
    norms = touched_rows.clip(parameters, limit, {parameters[0]: gradient}), nn.utils.clip_grad_norm_(full, limit)
    torch.testing.assert_close(*norms)
    torch.testing.assert_close(gradient.values, full[0].grad)
    torch.testing.assert_close(parameters[1].grad, full[1].grad)


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping_is_that_of_the_same_gradients_held_in_full(limit):
    parameters = [nn.Parameter(torch.zeros(ROWS, WIDTH)), nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = _sparse([3, 1, 3], torch.arange(9.0).reshape(3, 3))
    parameters[1].grad = torch.ones(4)
    full = copy.deepcopy(parameters)  # without gradients
    full[0].grad, full[1].grad = parameters[0].grad.to_dense(), torch.ones(4)
    norms = touched_rows.clip(parameters, limit), nn.utils.clip_grad_norm_(full, limit)
    torch.testing.assert_close(*norms)
    torch.testing.assert_close(parameters[0].grad.to_dense(), full[0].grad)
    torch.testing.assert_close(parameters[1].grad, full[1].grad)


def _trainer(micro_batch_size=32, **head):
    policy = tiny_policy()
    torch.manual_seed(3)
    text = np.random.default_rng(3).standard_normal((len(SIDS), 5))
    policy.use_items(
        ItemVectors(SIDS, 4, 16, text, ids=True, nodes=True),
        "item_tokens",
        {},
        0.5,
        {"name": "prefixes", "options": {}},
    )
    config = SftConfig(**{**CONFIG.model_dump(), "dense_head": {"loss_weight": 1.0, **head}, "dropout": 0.0,
                          "micro_batch_size": micro_batch_size})  # fmt: skip
    windows = make_windows(np.concatenate(CYCLES), np.cumsum([0, *map(len, CYCLES)]), MAX_HISTORY)
    return Trainer(policy, windows, SIDS, config, seed=0)


def test_a_large_catalogue_is_trained_by_the_rows_that_are_read(monkeypatch):
    usual = _trainer(sampled_items=6)
    monkeypatch.setattr(touched_rows, "EXACT_UP_TO", len(SIDS) - 1)
    large = _trainer(sampled_items=6)
    start = large.policy.items.ids.weight.detach().clone()
    start_nodes = large.policy.items.nodes.weight.detach().clone()
    for trainer in (usual, large):
        torch.manual_seed(4)
        trainer.step(np.array([0]), 0.01)
    after = [trainer.policy.items.ids.weight.detach() for trainer in (usual, large)]
    read = (after[1] != start).any(1)
    assert 0 < read.sum() < len(SIDS)
    torch.testing.assert_close(after[1][read], after[0][read])  # nothing has momentum in the first step
    for name, parameter in usual.parameters.items():
        if name not in ("items.ids.weight", "items.nodes.weight"):
            torch.testing.assert_close(large.parameters[name], parameter, msg=name)
    nodes = [trainer.policy.items.nodes.weight.detach() for trainer in (usual, large)]
    moved = (nodes[1] != start_nodes).any(1)
    assert moved.any()
    torch.testing.assert_close(nodes[1][moved], nodes[0][moved])


def test_the_forwards_of_a_batch_of_a_large_catalogue_share_their_sample(monkeypatch):
    monkeypatch.setattr(touched_rows, "EXACT_UP_TO", len(SIDS) - 1)
    whole, parted = _trainer(sampled_items=4), _trainer(micro_batch_size=1, sampled_items=4)
    rows = np.arange(min(4, len(whole.windows)))
    for trainer in (whole, parted):
        torch.manual_seed(4)
        losses = trainer.step(rows, 0.01)
        assert torch.isfinite(losses).all()
    for name, parameter in whole.parameters.items():
        torch.testing.assert_close(parted.parameters[name], parameter, msg=name, atol=1e-4, rtol=1e-3)


def test_a_softmax_over_all_items_and_a_small_catalogue_have_gradients_of_all_rows(monkeypatch):
    assert not _trainer(sampled_items=6).policy.items.ids.sparse
    monkeypatch.setattr(touched_rows, "EXACT_UP_TO", len(SIDS) - 1)
    assert not _trainer(sampled_items=0).policy.items.ids.sparse
