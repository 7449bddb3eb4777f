"""Runs of the reinforcement-learning stage on a tiny shop, and parts of one: prompts, groups, a learner."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.config import RlConfig
from genrec.model.policy import Policy
from genrec.tables import TRAINING_LOG_FILE
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import build_terms
from genrec.train.rl.rollout import RolloutWorker
from genrec.train.rl.train import train_rl
from tests.support.lm_tiny import put_on
from tests.support.rl_tiny import (
    MAX_HISTORY,
    META,
    NUM_ITEMS,
    SIDS,
    VOCAB,
    tiny_policy,
    tiny_trie,
    write_prepared,
    write_sids,
)

CONTEXT = RewardContext(torch.from_numpy(SIDS).long(), torch.ones(NUM_ITEMS, dtype=torch.long))
# A shop with a rule: item i is followed by i + 5 (modulo 24).
RING = [[(start + 5 * i) % NUM_ITEMS for i in range(5)] for start in range(NUM_ITEMS)]
VALID = [(s[:4], s[4]) for s in RING]
PPO = {
    "algorithm": "ppo",
    "rollout": "sample",
    "empty_groups": "keep",
    "kl_target": 0.01,
    "max_kl": 100.0,
    "patience": 100,
}
REWARD_GATE = {"metric": "reward", "max_loss": 0.5, "confidence": 0.5}


def write_shop(folder: Path) -> dict[str, Any]:
    """The inputs of `train_rl`: an SFT model, ids and prepared files in `folder`."""
    tiny_policy().save(folder / "sft")
    return {
        "prepared": write_prepared(folder / "prepared", [s[:4] for s in RING], VALID),
        "sids": write_sids(folder / "sids.parquet"),
        "sft": folder / "sft",
        "base": None,
        "max_history": MAX_HISTORY,
        "seed": 0,
    }


def save_base(folder: Path, model: Any) -> None:
    Policy(model, VOCAB, MAX_HISTORY, META | {"kind": "base"}, folder).save(folder)


def save_adapter(folder: Path, model: Any, mode: str = "lora") -> None:
    adapted = put_on(mode, model, VOCAB, seed=0)
    Policy(adapted, VOCAB, MAX_HISTORY, META | {"adapter": mode}, folder).save(folder)


def make_config(**settings) -> RlConfig:
    defaults = {
        "group_size": 6,
        "num_steps": 12,
        "prompts_per_step": 12,
        "micro_batch_size": 8,
        "rollout": {"chunk_size": 8},
        "eval_every": 4,
        "learning_rate": 3e-3,
        "checkpoint_every_s": 0.0,
        "empty_groups": "repair",
        "target_anchor": 0.0,
        "gate": {"confidence": 0.5},  # of 24 users nearly any gain could be chance at the usual level
    }
    return RlConfig(**(defaults | settings))


def run(shop: dict[str, Any], folder: Path, config: RlConfig | None = None, **changes) -> dict[str, Any]:
    """`train_rl` with the artifact in `folder`/out."""
    return train_rl(config=config or make_config(), work=folder / "work", out=folder / "out", **(shop | changes))


def contents(folder: Path) -> dict[str, bytes]:
    """The files in a folder and those below it, by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def log_values(folder: Path, name: str) -> dict[int, float]:
    """A figure of the training log in `folder`/out by step."""
    table = TRAINING_LOG_FILE.read(folder / "out").to_pylist()
    return {row["step"]: row["value"] for row in table if row["name"] == name}


def make_prompts(num_prompts: int = 6, seed: int = 0) -> PromptSet:
    rng = np.random.default_rng(seed)
    sequences = [rng.permutation(NUM_ITEMS)[: rng.integers(2, 7)] for _ in range(num_prompts)]
    target = np.array([s[-1] for s in sequences])
    return PromptSet(np.arange(num_prompts), [s[:-1].astype(np.int64) for s in sequences], target)


def make_learner(policy=None, **settings) -> Learner:
    config = RlConfig(
        **({"group_size": 8, "prompts_per_step": 6, "empty_groups": "repair", "target_anchor": 0.0} | settings)
    )
    return Learner(policy or tiny_policy(), config, build_terms(config.rewards), CONTEXT)


def make_groups(learner: Learner, prompts: PromptSet):
    rollout = RolloutWorker(learner.policy, tiny_trie(), SIDS, learner.config, seed=0).generate(0, prompts)
    return form_groups(torch.from_numpy(rollout.items), torch.from_numpy(prompts.target), learner.config.empty_groups)
