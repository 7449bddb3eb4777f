"""Names of runs: one scheme for the command line, the forms of the Prefect UI and the folders of reports.

A run is called what its user called it, else `<data>-<recipe>-<size>-seed<seed>`, such as demo-default-quick-seed0. Its
folder begins with the time, so that folders sort and no two runs share one.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from genrec.config import Config
from genrec.errors import ConfigError
from genrec.redact import redact

CONF = Path(__file__).parents[1] / "conf"
_ABOUT_DATA = ("demo", "table", "amazon2023", "minionerec")  # files of conf/ that say what is read, not how to train
_TIME = "%Y%m%d-%H%M%S"
_MAX_LETTERS = 80


def run_name(config: Config, recipe: str, typed: str = "") -> str:
    """The name of a run: `typed` where there is one, the config's `name` where it is none of the project's, else the scheme."""
    if typed:
        return typed
    return by_scheme(config, recipe) if config.name in _names_of_project() else config.name


def by_scheme(config: Config, *recipes: str) -> str:
    """Data, recipe (of a comparison: recipes), size and seed."""
    return f"{data_name(config)}-{'-vs-'.join(recipes)}-{config.preset}-seed{config.seed}"


def check_name(typed: str) -> None:
    """Raises ConfigError for a name that holds a secret, or no letter or digit that its folder could be called by."""
    if redact(typed) != typed:
        raise ConfigError("--name: holds a secret, and names of runs are stored and shown; choose another")
    if typed and not in_plain_letters(typed):
        raise ConfigError(
            "--name: give it a letter or digit, of a to z and 0 to 9, for the name of the report's folder"
        )


def tags(config: Config, *recipes: str) -> list[str]:
    """By what runs are filtered in the UI: data and recipes."""
    return [f"data:{data_name(config)}", *(f"recipe:{recipe}" for recipe in recipes)]


def data_name(config: Config) -> str:
    """`demo` for the synthetic shop, else the last part of the data's path, or the kind of source where that says nothing."""
    if config.data.source == "synthetic":
        return "demo"
    folder = (config.data.path or "").rstrip("/").rpartition("/")[2]
    name = in_plain_letters(folder.partition(".")[0])
    return config.data.source if name in ("", "data") else name


def recipe_of(files: Sequence[Path]) -> str:
    """The recipe of the command line: the names of its config files that do not only say what is read."""
    return "-".join(file.stem for file in files if file.stem not in _ABOUT_DATA) or "default"


def folder_name(name: str, started: datetime, suffix: str = "") -> str:
    """The folder of a run's report: time, name in letters that a path may hold, and what tells runs of one second apart."""
    stem = f"{started.astimezone():{_TIME}}-{in_plain_letters(name) or 'run'}"
    return f"{stem}-{suffix}" if suffix else stem


def without_time(folder: str) -> str:
    """The name of a run from that of its folder."""
    return re.sub(r"^\d{8}-\d{6}-", "", folder)


def in_plain_letters(text: str) -> str:
    """Letters, digits and the signs . _ - of a text, other signs as one dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_MAX_LETTERS]


def _names_of_project() -> set[str]:
    """The names that files of conf/ give (each its own), and that of a config without one."""
    return {str(Config.model_fields["name"].default), *(path.stem for path in CONF.rglob("*.yaml"))}
