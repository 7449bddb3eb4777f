"""Named bundles of settings: `--set preset=quick` lays one over the files and under the other `--set`s."""

from typing import Any

# A look at the result in about a quarter of the time: fewer passes (which need less dropout), fewer updates and smaller
# samples of validation and test users. Of 20 thousand users, HR@10 is .100 plus or minus .004 in 95 of 100 samples.
QUICK: dict[str, Any] = {
    "sft": {"epochs": 3, "dropout": 0.1, "max_valid_users": 1000},
    "rl": {"num_steps": 15},
    "evaluate": {"sample_users": 20_000},
}
PRESETS: dict[str, dict[str, Any]] = {"full": {}, "quick": QUICK}
