"""The whole stage on a tiny shop: it improves or says so, repeats and resumes bit by bit, and fails early."""

import json

import numpy as np
import pytest
import torch

from genrec.errors import ConfigError, DataError, TrainingError
from genrec.model.policy import Policy
from genrec.report.training import training_plots
from genrec.train import checkpoint
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.rewards import exact_hit
from genrec.train.rl.rollout import Rollout, RolloutWorker, chunks, concatenate
from genrec.train.rl.train import rollout_figures
from tests.support.rl_runs import (
    PPO,
    REWARD_GATE,
    RING,
    VALID,
    contents,
    log_values,
    make_config,
    run,
    save_adapter,
    save_base,
)
from tests.support.rl_tiny import NUM_ITEMS, SIDS, tiny_model, tiny_policy, write_prepared, write_sids
from tests.support.targets import write_targets


def test_training_beats_the_sft_model_and_says_so(shop, tmp_path):
    summary = run(shop, tmp_path, make_config(num_steps=40, eval_every=10, patience=10))
    assert summary["improved"]
    assert summary["valid"]["ndcg@10"] > summary["valid_sft"]["ndcg@10"] + 0.05
    assert summary["steps"] == 40
    assert summary["best_step"] in {10, 20, 30, 40}
    assert summary["last"]["reward"] > summary["first"]["reward"]
    json.dumps(summary)
    Policy.load(tmp_path / "out")
    names = {"reward", "kl", "entropy", "hit_rate", "distinct_items", "empty_groups", "loss"}
    assert all(sorted(log_values(tmp_path, name)) == list(range(1, 41)) for name in names)
    assert sorted(log_values(tmp_path, "valid_ndcg@10")) == [0, 10, 20, 30, 40]
    assert log_values(tmp_path, "valid_ndcg@10")[summary["best_step"]] == summary["valid"]["ndcg@10"]


def test_without_an_improvement_the_sft_weights_come_back(shop, tmp_path):
    summary = run(shop, tmp_path, make_config(learning_rate=1e-12, patience=2))
    assert not summary["improved"]
    assert summary["best_step"] == 0
    assert summary["stop_reason"] == "patience"
    assert summary["steps"] == 8
    assert summary["valid"] == summary["valid_sft"]
    name = "model.safetensors"
    assert contents(tmp_path / "out")[name] == contents(shop["sft"])[name]


def test_no_steps_return_the_sft_model(shop, tmp_path):
    summary = run(shop, tmp_path, make_config(num_steps=0))
    assert (summary["improved"], summary["steps"], summary["stop_reason"]) == (False, 0, "num_steps")
    assert contents(tmp_path / "out")["model.safetensors"] == contents(shop["sft"])["model.safetensors"]


def test_the_kl_ceiling_stops_training(shop, tmp_path):
    summary = run(shop, tmp_path, make_config(learning_rate=0.05, max_kl=0.01, eval_every=100))
    assert summary["stop_reason"] == "max_kl"
    assert summary["steps"] < 12
    assert not summary["improved"]


@pytest.mark.parametrize(
    "settings",
    [
        {"gate": REWARD_GATE},
        {"gate": {**REWARD_GATE, "max_loss": 0.0, "take_back": True}, "ema_decay": 0.3},
        {"rollout": "gumbel", "options": {"inner_steps": 2}, "target_anchor": 0.1, "ema_decay": 0.3},
        PPO,
    ],
)
def test_a_killed_run_resumes_bit_by_bit(shop, tmp_path, settings):
    config = make_config(**settings)
    expected = run(shop, tmp_path / "whole", config)

    def power_cut(done, total, note="", /, **values):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(shop, tmp_path / "cut", config, progress=power_cut)
    assert not (tmp_path / "cut" / "out").exists()
    steps = []
    got = run(shop, tmp_path / "cut", config, progress=lambda done, *a, **k: steps.append(done))
    assert steps[0] in range(2, 9)  # from a checkpoint, not from the start
    assert got == expected
    assert contents(tmp_path / "cut" / "out") == contents(tmp_path / "whole" / "out")


def test_the_average_of_the_weights_is_what_is_validated_and_kept(shop, tmp_path, monkeypatch):
    walked, seen = [], []

    def update(self, *arguments):
        figures = Learner.update(self, *arguments)
        walked.append({name: p.detach().clone() for name, p in self.parameters.items()})
        return figures

    def rows(self, policy):
        seen.append({name: p.detach().clone() for name, p in policy.trainable_parameters().items()})
        return np.full((len(self.validation), 2), 0.1 * len(seen))  # every checkpoint is better than the one before

    monkeypatch.setattr("genrec.train.rl.train.Learner", type("Watched", (Learner,), {"update": update}))
    monkeypatch.setattr("genrec.train.rl.gate.Gate.rows", rows)
    run(shop, tmp_path, make_config(ema_decay=0.3))
    assert len(walked) == 12
    assert len(seen) == 4
    expected = seen[0]  # the SFT model
    for step, weights in enumerate(walked, 1):
        decay = min(0.3, step / (step + 10))
        expected = {name: decay * expected[name] + (1 - decay) * w for name, w in weights.items()}
    kept = Policy.load(tmp_path / "out").trainable_parameters()
    for name, weights in expected.items():
        torch.testing.assert_close(seen[-1][name], weights)
        assert torch.equal(kept[name], seen[-1][name])
    assert any(not torch.equal(walked[-1][name], weights) for name, weights in kept.items())


def test_rewards_from_the_training_sequences_reach_the_learner(shop, tmp_path):
    run(shop, tmp_path, make_config(rewards=["exact_hit", "later_items", "transitions"], empty_groups="keep"))
    for name in ("later_items", "transitions"):
        assert max(log_values(tmp_path, f"reward_{name}").values()) > 0


def test_a_finished_work_folder_gives_the_same_result_again(shop, tmp_path):
    first = run(shop, tmp_path)
    before = contents(tmp_path / "out")
    assert run(shop, tmp_path) == first
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("mode", ["beam", "sample", "gumbel"])
def test_remote_workers_change_no_byte(shop, tmp_path, mode):
    config = make_config(rollout={"mode": mode, "chunk_size": 8}, num_steps=5, prompts_per_step=20)
    places = {k: shop[k] for k in ("sft", "base", "sids")}
    workers = [RolloutWorker.load(**places, config=config, max_history=shop["max_history"], seed=0) for _ in range(2)]

    def pool(step, prompts, weights):
        for worker in workers:
            worker.set_weights(weights())
        parts = chunks(prompts, config.rollout.chunk_size)
        return concatenate([workers[i % 2].generate(step, part) for i, part in enumerate(parts)])

    run(shop, tmp_path / "local", config)
    run(shop, tmp_path / "pool", config, rollouts=pool)
    assert contents(tmp_path / "local" / "out") == contents(tmp_path / "pool" / "out")


def test_validation_targets_teach_nothing(shop, tmp_path):
    """Other validation targets, same updates: what is learned comes from the training sequences alone."""
    other = write_prepared(tmp_path / "other", [s[:4] for s in RING], [(h, (t + 1) % NUM_ITEMS) for h, t in VALID])
    config = make_config(patience=100)
    run(shop, tmp_path / "a", config)
    run(shop, tmp_path / "b", config, prepared=other)
    for name in ("reward", "loss", "kl", "hit_rate"):
        assert log_values(tmp_path / "a", name) == log_values(tmp_path / "b", name)
    assert log_values(tmp_path / "a", "valid_ndcg@10") != log_values(tmp_path / "b", "valid_ndcg@10")
    last = [checkpoint.subset(checkpoint.load(tmp_path / name / "work")[0], "weights/") for name in ("a", "b")]
    assert all(torch.equal(weight, last[1][name]) for name, weight in last[0].items())


def test_test_targets_change_no_byte(shop, tmp_path):
    summaries = []
    for name, shift in (("a", 1), ("b", 7)):
        valid = [(user, *row) for user, row in enumerate(VALID)]
        test = [(user, [*history, target], (target + shift) % NUM_ITEMS) for user, history, target in valid]
        write_targets(shop["prepared"], valid=valid, test=test)
        summaries.append(run(shop, tmp_path / name))
    assert summaries[0] == summaries[1]
    assert contents(tmp_path / "a" / "out") == contents(tmp_path / "b" / "out")


def test_bf16_on_a_device_that_only_emulates_it_is_refused(shop, tmp_path, monkeypatch):
    monkeypatch.setattr("genrec.model.precision.computes_bf16", lambda device: False)
    with pytest.raises(ConfigError, match=r"set rl\.precision to fp32"):
        run(shop, tmp_path, make_config(precision="bf16"))


@pytest.mark.parametrize("mode", ["lora", "ptuning_v2"])
def test_an_adapter_is_trained_and_saved_as_an_adapter(shop, tmp_path, mode):
    save_base(tmp_path / "base", tiny_model())
    save_adapter(tmp_path / "adapter", tiny_model(), mode)
    config = make_config(**{"lora": {"learning_rate": 0.01}, "ptuning_v2": {"num_steps": 24}}[mode])
    summary = run(shop, tmp_path, config, sft=tmp_path / "adapter", base=tmp_path / "base")
    assert summary["improved"]
    assert "adapter_model.safetensors" in contents(tmp_path / "out")
    assert "model.safetensors" not in contents(tmp_path / "out")
    before, after = (Policy.load(tmp_path / name, tmp_path / "base").model.state_dict() for name in ("adapter", "out"))
    marks = {"lora": ["lora_A", "lora_B"], "ptuning_v2": [".prefix.weight"]}[mode]
    for name, weight in after.items():
        trained = any(mark in name for mark in ("trainable_tokens_delta", *marks))
        assert torch.equal(weight, before[name]) != trained, name


def test_an_adapter_of_another_base_is_refused(shop, tmp_path):
    from transformers import Qwen2Config, Qwen2ForCausalLM

    other = Qwen2Config(**(tiny_model().config.to_dict() | {"hidden_size": 24}))
    save_base(tmp_path / "base", Qwen2ForCausalLM(other))
    save_adapter(tmp_path / "adapter", tiny_model())
    with pytest.raises(DataError, match="do not fit the base model"):
        run(shop, tmp_path, sft=tmp_path / "adapter", base=tmp_path / "base")


def test_a_group_larger_than_the_catalogue_is_refused(shop, tmp_path):
    with pytest.raises(ConfigError, match=r"group_size is 25 .* only 24 items"):
        run(shop, tmp_path, make_config(group_size=NUM_ITEMS + 1))


def test_a_catalogue_of_one_item_is_refused(shop, tmp_path):
    with pytest.raises(ConfigError, match="nothing to choose"):
        run(shop, tmp_path, sids=write_sids(tmp_path / "one.parquet", SIDS[:1]))


def test_semantic_ids_of_another_catalogue_are_refused(shop, tmp_path):
    with pytest.raises(DataError, match=r"20 items but catalogue.parquet has 24"):
        run(shop, tmp_path, sids=write_sids(tmp_path / "less.parquet", SIDS[:20]))
    with pytest.raises(DataError, match="2 levels"):
        run(shop, tmp_path, sids=write_sids(tmp_path / "flat.parquet", np.unique(SIDS[:, :2], axis=0)))


@pytest.mark.parametrize(
    ("broken", "message"), [("nan", "reward 'exact_hit' is nan"), ("shape", r"returned \(3,\) for candidates of shape")]
)
def test_a_broken_reward_fails_before_training(shop, tmp_path, monkeypatch, broken, message):
    def never(*args):
        raise AssertionError("candidates were generated")

    def reward(candidates, *rest):
        return torch.full(candidates.shape, torch.nan) if broken == "nan" else candidates[:, 0].float()

    monkeypatch.setattr(exact_hit, "reward", reward)
    with pytest.raises(TrainingError, match=message):
        run(shop, tmp_path, rollouts=never)


def test_every_figure_of_the_log_that_tells_how_it_went_is_plotted(shop, tmp_path):
    run(shop, tmp_path, make_config(num_steps=2, eval_every=1, rewards=["exact_hit", "rank_log"], **PPO))
    plots = {plot.title: plot.svg for plot in training_plots("rl", tmp_path / "out")}
    wanted = {"Reward", "Hit rate", "KL divergence", "Entropy", "Distinct items", "Value loss", "Validation"}
    assert set(plots) == wanted
    assert all(label in plots["Reward"] for label in ("exact hit", "rank log"))


def test_progress_shows_the_figures_of_a_step(shop, tmp_path):
    shown = []
    run(shop, tmp_path, make_config(num_steps=1), progress=lambda *args, **values: shown.append(values))
    assert set(shown[-1]) == {"reward", "kl", "entropy", "hit_rate", "empty_groups", "distinct_items", "ndcg"}


def test_the_log_holds_every_reward_term_and_the_summary_says_what_the_data_lacks(shop, tmp_path):
    rewards = ["exact_hit", "behaviour", "category_diversity"]
    summary = run(shop, tmp_path, make_config(num_steps=1, rewards=rewards))
    values = [log_values(tmp_path, f"reward_{name}")[1] for name in rewards]
    assert sum(values) == pytest.approx(log_values(tmp_path, "reward")[1])
    assert values[0] == values[1] > 0  # without clicks and purchases a hit is a hit
    assert set(summary["reward_notes"]) == set(rewards)
    assert "names neither clicks nor purchases" in summary["reward_notes"]["behaviour"]
    assert "bought nothing: the SFT model is returned" in summary["reward_notes"]["exact_hit"]


def test_without_validation_users_nothing_is_trained(shop, tmp_path):
    summary = run(shop, tmp_path, prepared=write_prepared(tmp_path / "blind", RING, []))
    assert (summary["improved"], summary["steps"], summary["valid"]) == (False, 0, None)
    assert summary["stop_reason"] == "no validation users"
    assert contents(tmp_path / "out")["model.safetensors"] == contents(shop["sft"])["model.safetensors"]


def test_a_checkpoint_of_another_model_is_refused(shop, tmp_path):
    run(shop, tmp_path, make_config(num_steps=1))
    tiny_policy(tied=False).save(tmp_path / "other")
    with pytest.raises(DataError, match="checkpoint of another model"):
        run(shop, tmp_path, make_config(num_steps=1), sft=tmp_path / "other")


def test_rollout_figures_of_a_worked_example():
    items = np.array([[3, 4, -1], [3, 5, 6]])
    log_probs = np.log(np.array([[0.3, 0.1, 1.0], [0.2, 0.2, 0.2]]))[:, :, None].astype(np.float32)
    rollout = Rollout(items, np.zeros((2, 3, 1), np.int64), log_probs)
    groups = form_groups(torch.from_numpy(items), torch.tensor([4, 9]), "repair")
    figures = rollout_figures(rollout, groups)
    share = np.array([0.75, 0.25])
    assert figures["entropy"] == pytest.approx((-(share * np.log(share)).sum() + np.log(3)) / 2, abs=1e-6)
    assert figures["mass"] == pytest.approx((0.4 + 0.6) / 2, abs=1e-6)
    assert (figures["hit_rate"], figures["empty_groups"], figures["distinct_items"]) == (0.5, 0.5, 4.0)
