"""The settings of fine-tuning and reinforcement learning that are measured, as plain objects: no pydantic is needed.

Those of the recipe of a 3B model (conf/recipes/v1_standard.yaml) without alignment, whose texts a bare machine lacks;
what is measured by size (micro-batches, chunks, compiled layers) is set there. A test compares the names and types with
the typed config's.
"""

from types import SimpleNamespace
from typing import Any

SFT: dict[str, Any] = {
    "view": {"name": "sid_tokens", "options": {"instruction": ""}},
    "dense_head": {"loss_weight": 0.0, "sampled_items": None},
    "loss": {"name": "cross_entropy", "options": {}},
    "sampler": {"name": "uniform", "options": {}},
    "alignment": {"sid_to_title": 0.0, "title_to_sid": 0.0, "description_to_sid": 0.0},
    "reverse_share": 0.0,
    "item_dropout": 0.0,
    "crop_share": 0.0,
    "ema_decay": 0.0,
    "optimizer": "adamw",
    "epochs": 1,
    "learning_rate": 5e-4,
    "min_learning_rate": 1e-5,
    "warmup_share": 0.05,
    "batch_size": 256,
    "micro_batch_size": 32,
    "weight_decay": 0.05,
    "max_grad_norm": 1.0,
    "dropout": 0.0,
    "precision": "bf16",
    "gradient_checkpointing": False,
    "compile": False,
    "sharding": "none",
}
RL: dict[str, Any] = {
    "algorithm": "grpo",
    "group_size": 16,
    "prompts_per_step": 128,
    "rollout": {"mode": "beam", "temperature": 1.0, "seen_items": "drop", "chunk_size": 32},
    "micro_batch_size": 32,
    "learning_rate": 1e-5,
    "max_grad_norm": 1.0,
    "kl_coef": 1e-3,
    "kl_target": None,
    "precision": "bf16",
    "empty_groups": "keep",  # every group takes part, so that a step is the same work whatever the weights
    "target_anchor": 0.1,
    "rewards": [
        {"name": "exact_hit", "weight": 1.0, "options": {}},
        {"name": "rank_penalty", "weight": 1.0, "options": {}},
    ],
    "options": {},
    "compile": False,
    "sharding": "none",
}


def sft(**changed: Any) -> Any:
    """Settings of fine-tuning."""
    settings = _plain({**SFT, **changed})
    settings.alignment.total = 0.0
    return settings


def rl(**changed: Any) -> Any:
    """Settings of reinforcement learning."""
    return _plain({**RL, **changed})


def _plain(value: Any, name: str = "") -> Any:
    """Tables as objects; the options of variants stay tables."""
    if isinstance(value, dict) and name != "options":
        return SimpleNamespace(**{key: _plain(part, key) for key, part in value.items()})
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value
