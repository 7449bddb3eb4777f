"""Named ways to train, for the forms of the Prefect UI: each is a few settings, or files, laid over those of the data."""

from collections.abc import Callable
from pathlib import Path

from genrec.config import Config
from genrec.config.load import load_config

_CONF = Path(__file__).parents[1] / "conf"
RECIPES: dict[str, list[str]] = {
    "default": [],
    "supervised-only": ["rl.num_steps=0"],
    "rl-dense-reward": ["rl.rewards=[exact_hit, prefix_credit]"],
    "balanced-ids": ["sid.method=rqkmeans_balanced"],
    "rqvae-ids": ["sid.method=rqvae"],
    "lora": ["sft.adapter=lora"],
}
IN_WORDS = {
    "default": "ids by k-means, a small model with a dense head, fine-tuning, then GRPO",
    "supervised-only": "no reinforcement learning after fine-tuning",
    "rl-dense-reward": "reinforcement learning that also rewards a right beginning of an id",
    "balanced-ids": "semantic ids from k-means with clusters of even size",
    "rqvae-ids": "semantic ids from an RQ-VAE",
    "lora": "an adapter instead of all weights in fine-tuning",
}
_OF_FILE = {
    "v1_standard": "RQ-VAE ids, LoRA, GRPO with a rule reward",
    "v2_business": "balanced ids, QLoRA, rare items up-sampled, PPO that pays for clicks and variety",
    "v3_balanced": "RQ-VAE ids, LoRA, focal loss, GRPO that pays for variety and new items",
    "v4_engineering": "EMA ids, QLoRA, hard examples twice, PPO that pays by behaviour",
}
_HARDWARE = {"cpu": "with a small model on a machine without a GPU", "a100": "with Qwen2.5-3B on an A100 or better"}
# The recipes of conf/recipes, once for each overlay that says on what they run.
FILES: dict[str, list[Path]] = {
    f"{recipe}-{overlay}": [_CONF / "recipes" / f"{recipe}.yaml", _CONF / f"{overlay}.yaml"]
    for recipe in _OF_FILE
    for overlay in _HARDWARE
}
IN_WORDS |= {
    f"{recipe}-{o}": f"{words}; {where}" for recipe, words in _OF_FILE.items() for o, where in _HARDWARE.items()
}


def names() -> tuple[str, ...]:
    return (*RECIPES, *FILES)


def apply(
    recipe: str,
    data_files: list[Path],
    overrides: list[str],
    early: Callable[[Config], None] = lambda config: None,
) -> Config:
    """The checked config of some data under a recipe; explicit overrides win over the recipe's. early: see `validate`."""
    return load_config([*data_files, *FILES.get(recipe, [])], [*RECIPES.get(recipe, []), *overrides], early)


def in_lines() -> str:
    """Each recipe in a line of Markdown."""
    return "\n".join(f"- `{name}`: {words}" for name, words in IN_WORDS.items())
