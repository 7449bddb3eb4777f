import numpy as np
import pytest
import torch

from genrec.config import SftConfig
from genrec.errors import TrainingError
from genrec.model.item_vectors import ItemVectors
from genrec.search.attention import pack_heads
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import make_windows
from tests.support.lm_tiny import sequence_logits
from tests.support.rl_tiny import (
    MAX_HISTORY,
    NUM_CODES,
    NUM_ITEMS,
    SIDS,
    tiny_policy,
)
from tests.support.sft_runs import CONFIG, CYCLES, make_trainer, one_row_a_target


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, parts = (
        make_trainer(CONFIG.model_copy(update={"dropout": 0.0, "micro_batch_size": size})) for size in (1000, 2)
    )
    rows = np.arange(20)
    loss = [trainer.accumulate(rows) for trainer in (whole, parts)]
    torch.testing.assert_close(*loss)
    for name, parameter in whole.parameters.items():
        torch.testing.assert_close(parts.parameters[name].grad, parameter.grad, atol=1e-6, rtol=1e-4)
    codes = torch.from_numpy(SIDS[CYCLES[0]]).long()[None]  # and one window by hand
    whole.optimizer.zero_grad()
    alone = whole.accumulate(np.array([0]))
    expected = sequence_logits(whole.policy, codes).log_softmax(-1).gather(-1, codes[..., None])[..., 0].mean(1)[0]
    torch.testing.assert_close(alone, -expected.detach())


def test_a_non_finite_gradient_stops_before_the_weights_change():
    trainer = make_trainer()
    name, parameter = next(iter(trainer.parameters.items()))
    with torch.no_grad():
        parameter[0] = torch.inf  # the row of BOS
    before = {n: p.detach().clone() for n, p in trainer.parameters.items()}
    trainer.state.step, trainer.state.epoch, trainer.state.batch = 12, 1, 3
    with pytest.raises(TrainingError, match=r"sft: loss nan.* at step 12 \(epoch 1, batch 3\)"):
        trainer.step(np.arange(4), 0.1)
    assert all(torch.equal(p, before[n]) for n, p in trainer.parameters.items()), name


def test_recomputation_changes_no_gradient():
    config = CONFIG.model_copy(update={"dropout": 0.0})
    trainers = [make_trainer(config.model_copy(update={"gradient_checkpointing": flag})) for flag in (False, True)]
    for trainer in trainers:
        trainer.policy.model.train()
        trainer.accumulate(np.arange(6))
    for a, b in zip(*(t.parameters.values() for t in trainers), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_a_target_that_counts_double_pulls_twice_as_hard(monkeypatch):
    config = CONFIG.model_copy(update={"dropout": 0.0})
    weights = np.ones(NUM_ITEMS, np.float32)
    weights[5] = 2.0
    monkeypatch.setattr("genrec.train.sft.samplers.uniform.target_weights", lambda counts, options: weights)
    trainer = make_trainer(config)
    rows = np.arange(12)
    weighted = trainer.accumulate(rows)
    items, targets = (torch.from_numpy(a) for a in trainer.windows.gather(rows))
    losses = trainer._losses(items, targets).detach()
    share = torch.from_numpy(weights)[items[targets]]
    torch.testing.assert_close(weighted, (losses * share[:, None]).sum(0) / share.sum())


def test_an_epoch_draws_tail_targets_as_often_as_its_sampler_says():
    options = {"factor": 1.5, "tail_share": 0.4}
    config = SftConfig(**{**CONFIG.model_dump(), "sampler": {"name": "tail", "options": options}})
    items = np.concatenate([[*range(0, 4), *(range(4, 8) if i % 3 == 0 else range(0, 4))] for i in range(24)])
    windows = make_windows(items, np.arange(0, len(items) + 1, 8), MAX_HISTORY)
    trainer = Trainer(tiny_policy(), windows, SIDS, config, seed=0)
    extra = trainer.windows.num_repeats // 2
    assert extra > 0
    assert trainer.steps_per_epoch == -(-(len(windows) + extra) // config.batch_size)
    epochs = []
    for trainer.state.epoch in range(2):
        rows = np.concatenate(list(trainer._remaining_batches()))
        assert len(rows) == len(windows) + extra
        read, targets = trainer.windows.gather(rows)
        counts = np.bincount(read[targets], minlength=8)
        once = np.bincount(items, minlength=8)
        np.testing.assert_array_equal(counts[:4], once[:4])
        assert counts[4:].sum() > 1.3 * once[4:].sum()
        epochs.append(sorted(rows.tolist()))
    assert epochs[0] != epochs[1]


def test_a_loss_that_weighs_targets_multiplies_the_weights_of_the_sampler():
    loss = {"name": "focal", "options": {"frequency_power": 0.5}}
    sampler = {"name": "tail", "options": {"factor": 2.0, "mode": "weight"}}
    both, one, other = (
        make_trainer(SftConfig(**{**CONFIG.model_dump(), **chosen}))._target_weights
        for chosen in ({"loss": loss, "sampler": sampler}, {"loss": loss}, {"sampler": sampler})
    )
    torch.testing.assert_close(both, one * other)


@pytest.mark.parametrize("view", ["sid_tokens", "item_tokens"])
def test_one_pass_per_user_gives_the_gradients_of_a_row_per_target(view):
    config = SftConfig(**{**CONFIG.model_dump(), "dropout": 0.0, "micro_batch_size": 8, "view": view})
    found = []
    for windows in (make_trainer().windows, one_row_a_target(make_trainer().windows)):
        policy = tiny_policy()
        torch.manual_seed(0)
        policy.use_items(ItemVectors(SIDS, NUM_CODES, 16, None, ids=True), view)
        trainer = Trainer(policy, windows, SIDS, config, seed=0)
        loss = trainer.accumulate(np.arange(len(windows)))
        found.append((loss, {name: p.grad for name, p in trainer.parameters.items() if p.grad is not None}))
    torch.testing.assert_close(found[0][0], found[1][0])
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, atol=1e-5, rtol=1e-3)


class _Short:
    """In the place of a trainer's losses: those of more than `most` windows run out of memory, after their backward began."""

    def __init__(self, trainer, most):
        self.plain, self.most, self.sizes = trainer._losses, most, []

    def __call__(self, items, targets):
        values = self.plain(items, targets)
        if len(items) > self.most:
            values.register_hook(self.refuse)
        self.sizes.append(len(items))
        return values

    def refuse(self, gradient):
        raise torch.OutOfMemoryError("there is too little")


@pytest.mark.parametrize("packed", [False, True])
def test_a_step_that_runs_out_of_memory_is_the_same_in_smaller_forwards(packed):
    draws = {"dropout": 0.0, "item_dropout": 0.2, "crop_share": 0.3, "reverse_share": 0.5}
    trainers = []
    for setting in (64, "auto"):
        config = SftConfig(**{**CONFIG.model_dump(), **draws, "micro_batch_size": "auto", "batch_size": 20})
        trainer = make_trainer(config)
        trainer.micro_batch.size = 64
        if packed:
            pack_heads(trainer.policy.body)
            trainer.packed = True
        if setting == "auto":
            trainer._losses = _Short(trainer, 3)
        trainers.append((trainer, trainer.step(np.arange(20), 0.01)))
    (plain, losses), (short, same_losses) = trainers
    assert short.micro_batch.size < 8
    assert max(short._losses.sizes) > 3
    torch.testing.assert_close(same_losses, losses)
    for name, parameter in plain.parameters.items():
        torch.testing.assert_close(short.parameters[name], parameter, atol=1e-5, rtol=1e-4)


def test_an_explicit_micro_batch_that_runs_out_of_memory_says_so():
    trainer = make_trainer()
    trainer._losses = _Short(trainer, 1)
    with pytest.raises(torch.OutOfMemoryError):
        trainer.step(np.arange(20), 0.01)


@pytest.mark.parametrize("names", [{}, {"item_dropout": 0.3, "crop_share": 0.5, "reverse_share": 0.5}], ids=str)
def test_packed_windows_give_the_gradients_of_padded_ones(names):
    found = []
    for packed in (False, True):
        config = SftConfig(**{**CONFIG.model_dump(), "dropout": 0.0, "micro_batch_size": "auto", **names})
        trainer = make_trainer(config)
        pack_heads(trainer.policy.body)
        trainer.packed = packed
        losses = trainer.accumulate(np.arange(20), np.random.default_rng(3))
        found.append((losses, {name: p.grad for name, p in trainer.parameters.items()}))
    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-4)


class _Memory:
    """A GPU with room for `rows` windows at a time, twice as many where activations are computed twice."""

    def __init__(self, model, rows):
        self.model, self.rows, self.last = model, rows, 0

    def free(self):
        return int(1e9)

    def peak_of(self, run):
        run()
        a_row = 0.85e9 / self.rows / (2 if self.model.is_gradient_checkpointing else 1)
        return int(run.args[0] * a_row)


@pytest.mark.parametrize(("rows", "wanted", "recomputes"), [(40, 20, False), (5, 9, True)])
def test_memory_decides_on_the_micro_batch_and_on_computing_twice(rows, wanted, recomputes):
    config = SftConfig(
        **{**CONFIG.model_dump(), "batch_size": 20, "micro_batch_size": "auto", "gradient_checkpointing": "auto"}
    )
    trainer = make_trainer(config)
    trainer._memory = _Memory(trainer.policy.model, rows)
    before = torch.random.get_rng_state()
    trainer.accumulate(np.arange(4))
    size = trainer.micro_batch.size
    assert (trainer.policy.model.is_gradient_checkpointing, size in (wanted, wanted + 1)) == (recomputes, True), size
    other = make_trainer(config)
    torch.random.set_rng_state(before)
    other.accumulate(np.arange(4))
    for name, parameter in trainer.parameters.items():
        torch.testing.assert_close(parameter.grad, other.parameters[name].grad)  # measuring left no trace
