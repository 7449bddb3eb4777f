"""Named ways to train, for the forms of the Prefect UI: each is a few settings laid over a preset."""

from genrec.config import Config
from genrec.config_load import load_config

RECIPES: dict[str, list[str]] = {
    "default": [],
    "supervised-only": ["rl.num_steps=0"],
    "rl-dense-reward": ["rl.rewards=[exact_hit, prefix_credit]"],
    "balanced-ids": ["sid.method=rqkmeans_balanced"],
    "rqvae-ids": ["sid.method=rqvae"],
    "lora": ["sft.adapter=lora"],
}
IN_WORDS = {
    "default": "the settings of the preset as they are",
    "supervised-only": "no reinforcement learning after fine-tuning",
    "rl-dense-reward": "reinforcement learning that also rewards a right beginning of an id",
    "balanced-ids": "semantic ids from k-means with clusters of even size",
    "rqvae-ids": "semantic ids from an RQ-VAE",
    "lora": "an adapter instead of all weights in fine-tuning",
}


def names() -> tuple[str, ...]:
    return tuple(RECIPES)


def apply(recipe: str, preset_files: list, overrides: list[str]) -> Config:
    """The checked config of a preset under a recipe; explicit overrides win over the recipe's."""
    return load_config(preset_files, [*RECIPES[recipe], *overrides])
