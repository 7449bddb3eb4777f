"""What a fitted ranker is, and what all of them do alike: features by name, a file of facts, a model of no signal."""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.rank.samples import Samples

LABEL = "label"  # the task of a ranker of one task
FACTS = "ranker.json"
_logger = logging.getLogger(__name__)


class Ranker(Protocol):
    """A fitted ranker."""

    inputs: "Inputs"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of `task_scores`."""

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]: higher is better within a list, finite everywhere."""
        ...

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """By task float32 [R], finite; {"label": scores} where there is one task."""
        ...

    def importance(self) -> dict[str, float] | None:
        """The share of each feature in what was learned, by name; None where the ranker does not tell."""
        ...

    def save(self, folder: Path) -> None:
        """Write files, none of them executable, that the module's `load` reads. The folder is made."""
        ...


class Inputs:
    """Features as a ranker learned them: picked by name, so that others, or another order, change nothing.

    A feature that is not there at scoring is missing in every row (nan), which each ranker has learned to read: it is
    counted in `missing` (rows by name) and logged once. So are infinite values, which count as missing.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.missing: Counter[str] = Counter()

    def matrix(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R, F], nan where missing."""
        if samples.names == self.names:
            features = samples.features
        else:
            place = {name: column for column, name in enumerate(samples.names)}
            features = np.full((len(samples), len(self.names)), np.nan, dtype=np.float32)
            for column, name in enumerate(self.names):
                if name in place:
                    features[:, column] = samples.features[:, place[name]]
                else:
                    self._count(name, len(samples), "is not given")
        infinite = np.isinf(features)
        if infinite.any():
            for column in np.flatnonzero(infinite.any(axis=0)).tolist():
                self._count(self.names[column], int(infinite[:, column].sum()), "is infinite")
            features = np.where(infinite, np.float32(np.nan), features)
        return features

    def _count(self, name: str, rows: int, what: str) -> None:
        if name not in self.missing:
            _logger.warning("ranking: the feature %s %s; it counts as missing (logged once)", name, what)
        self.missing[name] += rows


class NoSignal:
    """The ranker of data with one class only: every candidate scores 0, so that lists keep the order they came in."""

    def __init__(self, names: tuple[str, ...], tasks: tuple[str, ...] = (LABEL,)) -> None:
        self.inputs, self.tasks = Inputs(names), tasks

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R] of zeros."""
        self.inputs.matrix(samples)
        return np.zeros(len(samples), dtype=np.float32)

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """Zeros for every task."""
        return dict.fromkeys(self.tasks, self.scores(samples))

    def importance(self) -> None:
        """It learned nothing."""

    def save(self, folder: Path) -> None:
        """Its file of facts says that there is no model."""
        write_facts(folder, {"names": self.inputs.names, "tasks": self.tasks, "no_signal": True})


def has_signal(train: Samples, name: str) -> bool:
    """Whether there are both classes to learn from; where not, a warning says so."""
    positive = int((train.label > 0).sum())
    if 0 < positive < len(train):
        return True
    _logger.warning(
        "ranker %s: %d of %d training rows are positive; there is nothing to learn from one class, so lists keep their order",
        name, positive, len(train),
    )  # fmt: skip
    return False


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """ranker.json: what a model file does not hold."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).write_text(json.dumps(facts, indent=1))


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts. Raises DataError where the file is missing or is none of `write_facts`."""
    path = folder / FACTS
    try:
        facts = json.loads(path.read_bytes())
        facts["names"] = tuple(facts["names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); compute the stage rank again") from None
    return facts


def no_signal(facts: Mapping[str, Any]) -> NoSignal | None:
    """The ranker of a folder that holds none."""
    return NoSignal(facts["names"], tuple(facts["tasks"])) if facts.get("no_signal") else None
