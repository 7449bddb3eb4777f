"""Whole stages by two processes that divide their model: what they write, and what becomes of a run that was killed."""

import os
import signal

import pytest
import torch

from genrec.model.policy import Policy
from genrec.train import checkpoint
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.rollout import RolloutWorker
from genrec.train.rl.train import train_rl
from tests.support.lm_tiny import tiny_policy as tiny_lora
from tests.support.processes import in_processes
from tests.support.rl_runs import contents, log_values, make_config
from tests.support.rl_tiny import MAX_HISTORY, tiny_policy
from tests.support.sft_runs import CONFIG, distance, train, weights

pytestmark = pytest.mark.slow

SFT = CONFIG.model_copy(update={"dropout": 0.0, "epochs": 2, "ema_decay": 0.5})
LORA = {"lora_rank": 4, "lora_targets": ["q_proj", "down_proj"]}
RL = make_config(num_steps=6, eval_every=2, learning_rate=1e-3, ema_decay=0.5, kl_coef=0.05)
IMPROVING = make_config(num_steps=20, eval_every=10)


def power_cut(at: int):
    def progress(done, total, note="", /, **values):
        if done == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return progress


def fine_tune(files, stage, name, *, killed_at=0, adapter="full", dropout=0.0):
    config = SFT.model_copy(
        update={"sharding": stage, "adapter": adapter, "dropout": dropout, "lora_dropout": dropout, **LORA}
    )
    return lambda: train(files, config, name=f"{name}/out", work=f"{name}/work", progress=power_cut(killed_at))


def reinforce(shop, folder, stage, *, killed_at=0, config=RL, remote=False):
    def body():
        divided = config.model_copy(update={"sharding": stage})
        rollouts = None
        if remote and LearnerGroup().first:  # as with actors: the weights leave the first process alone
            places = {k: shop[k] for k in ("sft", "base", "sids")}
            worker = RolloutWorker.load(**places, config=config, max_history=MAX_HISTORY, seed=0)

            def rollouts(step, prompts, weights):
                worker.set_weights(weights())
                return worker.generate(step, prompts)

        train_rl(
            config=divided, **shop, work=folder / "work", out=folder / "out", progress=power_cut(killed_at),
            rollouts=rollouts, rollouts_elsewhere=remote,
        )  # fmt: skip

    return body


def state_of(work) -> dict[str, torch.Tensor]:
    """Weights, best and averaged weights, and the optimizer's state of a checkpoint."""
    tensors = checkpoint.load(work)[0]
    return {name: t for name, t in tensors.items() if not name.startswith(("random/", "state/"))}


CHANGES = [
    (1, "none", 2, "weights"),
    (2, "gradients", 1, "none"),
    (2, "weights", 2, "optimizer"),
    (2, "weights", 3, "weights"),
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_fine_tuning_goes_on_at_another_number_of_processes_or_division(files, change):
    number, stage, number_then, stage_then = change
    fine_tune(files, "none", "alone")()
    assert any(in_processes(files / "m1", fine_tune(files, stage, "cut", killed_at=7), number))
    assert not (files / "cut" / "out").exists()
    assert in_processes(files / "m2", fine_tune(files, stage_then, "cut"), number_then) == [0] * number_then
    assert distance(weights(files / "alone"), weights(files / "cut")) < 1e-4
    assert distance(state_of(files / "alone" / "work"), state_of(files / "cut" / "work")) < 1e-4
    assert log_values(files / "alone", "valid_ndcg@10") == pytest.approx(log_values(files / "cut", "valid_ndcg@10"))


@pytest.mark.parametrize("change", CHANGES[:3], ids=str)
def test_reinforcement_learning_goes_on_at_another_number_of_processes_or_division(shop, tmp_path, change):
    number, stage, number_then, stage_then = change
    reinforce(shop, tmp_path / "alone", "none")()
    assert any(in_processes(tmp_path / "m1", reinforce(shop, tmp_path / "cut", stage, killed_at=3), number))
    assert (
        in_processes(tmp_path / "m2", reinforce(shop, tmp_path / "cut", stage_then), number_then) == [0] * number_then
    )
    assert distance(state_of(tmp_path / "alone" / "work"), state_of(tmp_path / "cut" / "work")) < 1e-4
    for name in ("reward", "kl", "valid_ndcg@10"):
        assert log_values(tmp_path / "alone", name) == pytest.approx(log_values(tmp_path / "cut", name), abs=1e-4)


@pytest.mark.parametrize("stage", ["optimizer", "weights"])
def test_processes_that_were_killed_resume_bit_by_bit(files, stage):
    tiny_lora(mode="lora")  # imports PEFT, for all processes that are forked
    whole = fine_tune(files, stage, "whole", adapter="lora", dropout=0.2)
    assert in_processes(files / "m1", whole) == [0, 0]
    cut = fine_tune(files, stage, "cut", killed_at=7, adapter="lora", dropout=0.2)
    assert any(in_processes(files / "m2", cut))
    assert in_processes(files / "m3", fine_tune(files, stage, "cut", adapter="lora", dropout=0.2)) == [0, 0]
    assert contents(files / "cut" / "out") == contents(files / "whole" / "out")


def best(folder, base=None) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights of the artifact in `folder`/out, and the best ones of the checkpoint it was made from."""
    found = Policy.load(folder / "out", base, trainable=True).trainable_parameters()
    kept = checkpoint.subset(checkpoint.load(folder / "work")[0], "best/")
    return {name: p.detach() for name, p in found.items()}, kept


def test_the_model_of_divided_processes_is_a_folder_as_ever(files, shop, tmp_path):
    fine_tune(files, "none", "alone", adapter="lora")()
    assert in_processes(tmp_path / "m1", fine_tune(files, "weights", "both", adapter="lora")) == [0, 0]
    assert sorted(contents(files / "alone" / "out")) == sorted(contents(files / "both" / "out"))
    alone, both = (best(files / name, files / "base") for name in ("alone", "both"))
    assert distance(*both) == 0
    assert distance(alone[0], both[0]) < 1e-4
    assert in_processes(tmp_path / "m2", reinforce(shop, tmp_path, "weights", config=IMPROVING, remote=True)) == [0, 0]
    assert distance(*best(tmp_path)) == 0
    assert distance(best(tmp_path)[0], {n: p.detach() for n, p in tiny_policy().trainable_parameters().items()}) > 5e-3
    assert {"model.safetensors", "config.json", "genrec.json"} <= contents(tmp_path / "out").keys()
