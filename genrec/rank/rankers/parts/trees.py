"""What gradient-boosted trees of any library have in common: settings, a fit that may stop early, a model of scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.rank.rankers.parts.libraries import imported
from genrec.rank.rankers.parts.ranker import (
    LABEL,
    Inputs,
    NoSignal,
    Ranker,
    has_signal,
    no_signal,
    read_facts,
    write_facts,
)
from genrec.rank.samples import Samples
from genrec.variants import setting


@dataclass(frozen=True)
class TreesConfig:
    """Settings of boosting."""

    num_rounds: int = setting(120, "Trees, at most.", ge=1)
    patience: int = setting(
        30, "Trees without a better figure before stopping, where rank.stopping_share holds users for it.", ge=1
    )
    learning_rate: float = setting(0.05, "Weight of a tree.", gt=0)
    feature_share: float = setting(0.3, "Share of the features that a tree may use, drawn anew for each.", gt=0, le=1)
    lambda_l2: float = setting(5.0, "L2 penalty on the values of leaves.", ge=0)


class Trees:
    """A fitted model of one task; a subclass reads and writes those of its library."""

    library: ClassVar[str]
    file: ClassVar[str]  # of the model
    tasks = (LABEL,)

    def __init__(self, names: tuple[str, ...], booster: Any) -> None:
        self.inputs, self.booster = Inputs(names), booster

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]: sums of leaf values."""
        if not len(samples):
            return np.zeros(0, dtype=np.float32)
        return np.asarray(self._sums(self.inputs.matrix(samples)), dtype=np.float32)

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """The scores."""
        return {LABEL: self.scores(samples)}

    def importance(self) -> dict[str, float]:
        """Share of the loss that splits on each feature took off."""
        gain = np.asarray(self._gains(), dtype=np.float64)
        return dict(zip(self.inputs.names, (gain / max(gain.sum(), 1e-12)).tolist(), strict=True))

    def save(self, folder: Path) -> None:
        """The library's own text format, and the names of the features."""
        folder.mkdir(parents=True, exist_ok=True)
        write_facts(folder, {"names": self.inputs.names, **self._write(folder / self.file)})

    def _sums(self, features: NDArray[np.float32]) -> NDArray[np.floating]:
        """Sums of leaf values [R] of features [R, F]."""
        raise NotImplementedError

    def _gains(self) -> Any:
        """What splits on each feature gained, [F]."""
        raise NotImplementedError

    def _write(self, path: Path) -> dict[str, Any]:
        """Write the model; gives the facts that `_read` needs."""
        raise NotImplementedError

    @staticmethod
    def _read(library: Any, path: Path, facts: dict[str, Any]) -> Any:
        """The booster that `_write` wrote. Raises OSError, UnicodeDecodeError, KeyError or DataError."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """What `save` wrote. Raises DataError where it cannot be read."""
        facts = read_facts(folder)
        if nothing := no_signal(facts):
            return nothing
        path = folder / cls.file
        try:
            booster = cls._read(imported(cls.library, "rank"), path, facts)
        except (OSError, UnicodeDecodeError, KeyError, DataError) as error:
            raise DataError(f"{path}: cannot be read ({error}); compute the stage rank again") from None
        return cls(facts["names"], booster)


class Boost(Protocol):
    """Boosts trees of a library on `train`; with `held` until its figure no longer gets better."""

    def __call__(self, library: Any, inputs: Inputs, train: Samples, held: Samples | None, /) -> Any: ...


def fit_trees(kind: type[Trees], train: Samples, valid: Samples | None, boost: Boost) -> Trees | NoSignal:
    """The model of the booster that `boost` gives; it gets `valid` where there is a hit to judge by."""
    if not has_signal(train, kind.library):
        return NoSignal(train.names)
    held = valid if valid is not None and len(valid) and (valid.label > 0).any() else None
    inputs = Inputs(train.names)
    return kind(train.names, boost(imported(kind.library, "rank"), inputs, train, held))
