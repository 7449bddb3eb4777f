"""Training by several processes: the weights of one process, whole checkpoints, one writer."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from genrec.train import checkpoint
from genrec.train.learner_group import LearnerGroup, _buckets
from genrec.train.rl.rollout import RolloutWorker
from genrec.train.rl.train import train_rl
from tests.support.processes import in_processes
from tests.support.rl_runs import PPO, contents, log_values, make_config, run
from tests.support.rl_tiny import MAX_HISTORY
from tests.support.sft_runs import CONFIG, distance, train, weights


def test_one_process_is_the_first_and_shares_with_nobody():
    group = LearnerGroup()
    assert (group.first, group.size) == (True, 1)
    assert group.share([1, 2, 3]) == [1, 2, 3]
    assert group.at_most(64, 10) == 10
    parameter = torch.nn.Parameter(torch.ones(2))
    group.sum_gradients([parameter])
    assert parameter.grad is None


def test_buckets_keep_order_and_type(monkeypatch):
    monkeypatch.setattr("genrec.train.learner_group._BUCKET", 10)
    shapes = [(4, torch.float32), (4, torch.float32), (4, torch.float32), (2, torch.float64), (30, torch.float64)]
    parameters = [torch.nn.Parameter(torch.zeros(n, dtype=dtype)) for n, dtype in shapes]
    assert [[p.numel() for p in bucket] for bucket in _buckets(parameters)] == [[4, 4], [4], [2], [30]]


def test_gradients_add_up_and_missing_ones_stay_missing(tmp_path):
    def check():
        group = LearnerGroup()
        both, one, none = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
        both.grad = torch.full((3,), float(group.rank + 1))
        if group.rank == 1:
            one.grad = torch.full((3,), 5.0)
        group.sum_gradients([both, one, none])
        assert both.grad.tolist() == [3.0] * 3
        assert one.grad.tolist() == [5.0] * 3
        assert none.grad is None
        assert group.share(["a", "b", "c"]) == (["a", "c"], ["b"])[group.rank]
        assert group.sum_floats([1.5 * group.first, 2.0], torch.device("cpu")) == [1.5, 4.0]

    assert in_processes(tmp_path / "meeting", check) == [0, 0]


@pytest.mark.parametrize(
    ("settings", "remote"),
    [({"options": {"inner_steps": 2}, "target_anchor": 0.1, "ema_decay": 0.3}, True), (PPO, False)],
)
def test_learners_that_share_the_updates_end_with_the_weights_of_one(shop, tmp_path, settings, remote):
    config = make_config(**settings, num_steps=4, eval_every=2, learning_rate=1e-3)
    run(shop, tmp_path / "alone", config)

    def learn():
        places = {k: shop[k] for k in ("sft", "base", "sids")}
        rollouts = None
        if remote and LearnerGroup().first:  # as with actors: candidates reach the first process alone
            worker = RolloutWorker.load(**places, config=config, max_history=MAX_HISTORY, seed=0)

            def rollouts(step, prompts, weights):
                worker.set_weights(weights())
                return worker.generate(step, prompts)

        train_rl(
            config=config, **shop, work=tmp_path / "both" / "work", out=tmp_path / "both" / "out",
            rollouts=rollouts, rollouts_elsewhere=remote,
        )  # fmt: skip

    assert in_processes(tmp_path / "meeting", learn) == [0, 0]
    one, several = (checkpoint.load(tmp_path / name / "work")[0] for name in ("alone", "both"))
    one, several = checkpoint.subset(one, "weights/"), checkpoint.subset(several, "weights/")
    assert distance(one, several) < 1e-5
    start = load_file(shop["sft"] / "model.safetensors")
    assert distance({name: one[name] for name in start}, start) > 1e-4
    for name in ("reward", "hit_rate", "valid_ndcg@10"):
        assert log_values(tmp_path / "alone", name) == pytest.approx(log_values(tmp_path / "both", name))


def test_learners_that_were_killed_resume_bit_by_bit(shop, tmp_path):
    config = make_config(num_steps=8, learning_rate=1e-3)

    def learn(work, out, progress):
        def body():
            train_rl(config=config, **shop, work=tmp_path / work, out=tmp_path / out, progress=progress)

        return body

    def power_cut(done, total, note="", /, **values):
        if done == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    def silent(done, total, note="", /, **values):
        pass

    assert in_processes(tmp_path / "m1", learn("whole", "whole_out", silent)) == [0, 0]
    assert any(in_processes(tmp_path / "m2", learn("cut", "cut_out", power_cut)))
    assert not (tmp_path / "cut_out").exists()
    assert in_processes(tmp_path / "m3", learn("cut", "cut_out", silent)) == [0, 0]
    assert contents(tmp_path / "cut_out") == contents(tmp_path / "whole_out")


@pytest.mark.parametrize("sampler", ["uniform", "hard_examples"])
def test_fine_tuning_by_two_processes_ends_with_the_weights_of_one(files, sampler):
    config = CONFIG.model_copy(update={"dropout": 0.0, "epochs": 2})
    config = type(config).model_validate({**config.model_dump(), "sampler": {"name": sampler}})
    expected = train(files, config, name="alone/out", work="work_alone")

    assert in_processes(files / "meeting", lambda: train(files, config, name="both/out", work="work_both")) == [0, 0]
    assert distance(weights(files / "alone"), weights(files / "both")) < 1e-4
    assert log_values(files / "alone", "valid_ndcg@10") == pytest.approx(log_values(files / "both", "valid_ndcg@10"))
    assert expected["epochs"] == 2
