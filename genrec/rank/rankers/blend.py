"""LambdaMART and pointwise trees added up: what an order costs and how likely each candidate is, learned apart.

Members that err differently are better together than either (Dietterich, "Ensemble methods in machine learning", MCS 2000;
Burges et al., "Learning to rank using an ensemble of lambda-gradient models", JMLR W&CP 14, 2011). The scores of each are
divided by their spread within the lists that it learned from, so that neither counts more for its unit.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.rank.rankers import lambdamart
from genrec.rank.rankers.lambdamart import LambdaMart
from genrec.rank.rankers.parts.few_rows import FewRows, joined
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

_MODEL = "model.json"


@dataclass(frozen=True)
class Config(lambdamart.LeavesConfig):
    """Both with the same settings."""

    pointwise_weight: float = setting(1.0, "Weight of the pointwise trees beside LambdaMART.", ge=0)


class Blend:
    """A fitted model: the sum of its members' scores, each times its scale."""

    tasks = (LABEL,)

    def __init__(self, names: tuple[str, ...], members: Sequence[LambdaMart], scales: Sequence[float]) -> None:
        self.inputs, self.members, self.scales = Inputs(names), members, scales

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]."""
        samples, total = self._known(samples), np.zeros(len(samples), dtype=np.float32)
        for member, scale in zip(self.members, self.scales, strict=True):
            total += np.float32(scale) * member.scores(samples)
        return total

    @functools.cached_property
    def compiled(self) -> FewRows | None:
        """The trees of all members, scaled, for a few rows at once; None where some do not fit."""
        return joined([member.compiled for member in self.members], self.scales)

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """The scores."""
        return {LABEL: self.scores(samples)}

    def contributions(self, samples: Samples) -> NDArray[np.float64]:
        """SHAP values by feature and, last, the mean score: float64 [R, F + 1], those of the members added up."""
        parts = [scale * member.contributions(samples) for member, scale in zip(self.members, self.scales, strict=True)]
        return np.sum(parts, axis=0)

    def importance(self) -> dict[str, float]:
        """The mean share of each feature in its members."""
        shares = [member.importance() for member in self.members]
        return {name: float(np.mean([share[name] for share in shares])) for name in self.inputs.names}

    def _known(self, samples: Samples) -> Samples:
        """With the features that were learned, so that what is missing is counted here, and once."""
        return replace(samples, names=self.inputs.names, features=self.inputs.matrix(samples))

    def save(self, folder: Path) -> None:
        """The scales, and a folder for each member."""
        write_facts(folder, {"names": self.inputs.names})
        (folder / _MODEL).write_text(json.dumps({"scales": list(self.scales)}))
        for number, member in enumerate(self.members):
            member.save(_folder(folder, number))


def fit(
    train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent
) -> Blend | NoSignal:
    """Fit both members; with `valid` each stops by its own figure on it."""
    if not has_signal(train, "blend"):
        return NoSignal(train.names)
    shared = asdict(options)
    weight = shared.pop("pointwise_weight")
    members, scales = [], []
    plan: tuple[tuple[Literal["lambdarank", "binary"], float], ...] = (("lambdarank", 1.0), ("binary", weight))
    for done, (objective, times) in enumerate(plan):
        chosen = lambdamart.Config(**shared, objective=objective)
        member = lambdamart.fit(train, valid, chosen, seed, _half(progress, done))
        members.append(member)
        scales.append(times / max(_spread(train, member.scores(train)), 1e-9))
    return Blend(train.names, members, scales)  # type: ignore[arg-type] # there is a signal


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    facts = read_facts(folder)
    if nothing := no_signal(facts):
        return nothing
    path = folder / _MODEL
    try:
        scales = [float(scale) for scale in json.loads(path.read_bytes())["scales"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); compute the stage rank again") from None
    members = [lambdamart.load(_folder(folder, number)) for number in range(len(scales))]
    return Blend(facts["names"], members, scales)  # type: ignore[arg-type] # written by `Blend.save`


def _spread(samples: Samples, scores: NDArray[np.float32]) -> float:
    """Standard deviation within lists."""
    owner = samples.list_of_row
    mean = np.bincount(owner, weights=scores) / np.maximum(np.bincount(owner), 1)
    return float(np.sqrt(np.mean((scores - mean[owner]) ** 2)))


def _half(progress: Progress, done: int) -> Progress:
    """Progress of one of the two members."""

    def report(part: float, total: float, note: str = "", /, **values: float) -> None:
        progress(done + part / total, 2, note, **values)

    return report


def _folder(folder: Path, number: int) -> Path:
    return folder / f"member-{number}"
