"""LambdaMART: gradient-boosted trees on the pairs of a list, each weighted by the NDCG that swapping it would change.

Burges, "From RankNet to LambdaRank to LambdaMART: an overview" (Microsoft Research MSR-TR-2010-82, section 4), as
implemented by LightGBM (Ke et al., NeurIPS 2017), with missing features sent to the better side of each split.
`xendcg` is the listwise loss of Bruch, "An alternative cross entropy loss for learning-to-rank" (WWW 2021, arXiv
1911.09798), `binary` the pointwise log loss.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.progress import Progress, silent
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

if TYPE_CHECKING:
    import lightgbm

_MODEL = "model.txt"
_OBJECTIVES = {"lambdarank": "lambdarank", "xendcg": "rank_xendcg", "binary": "binary"}


@dataclass(frozen=True)
class Config:
    """LambdaMART."""

    objective: Literal["lambdarank", "xendcg", "binary"] = setting(
        "lambdarank", "lambdarank (pairwise, weighted by NDCG), xendcg (listwise) or binary (pointwise)."
    )
    num_rounds: int = setting(120, "Trees, at most.", ge=1)
    patience: int = setting(
        30, "Trees without a better NDCG@10 before stopping, where rank.stopping_share holds users for it.", ge=1
    )
    learning_rate: float = setting(0.05, "Weight of a tree.", gt=0)
    num_leaves: int = setting(7, "Leaves of a tree.", ge=2)
    min_leaf_rows: int = setting(50, "Rows of a leaf, at least.", ge=1)
    feature_share: float = setting(0.3, "Share of the features that a tree may use, drawn anew for each.", gt=0, le=1)
    lambda_l2: float = setting(5.0, "L2 penalty on the values of leaves.", ge=0)
    truncation: int = setting(20, "Pairs with one candidate among the first that many count (lambdarank).", ge=1)
    num_bins: int = setting(127, "Different values of a feature that are told apart.", ge=3, le=255)


class LambdaMart:
    """A fitted model."""

    def __init__(self, names: tuple[str, ...], booster: "lightgbm.Booster") -> None:
        self.inputs, self.booster = Inputs(names), booster

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]: sums of leaf values."""
        if not len(samples):
            return np.zeros(0, dtype=np.float32)
        return np.asarray(self.booster.predict(self.inputs.matrix(samples), raw_score=True), dtype=np.float32)

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """The scores."""
        return {LABEL: self.scores(samples)}

    def contributions(self, samples: Samples) -> NDArray[np.float64]:
        """SHAP values by feature and, last, the mean score: float64 [R, F + 1]; a row sums up to its score.

        Exact for trees (Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
        Nature Machine Intelligence 2020).
        """
        return np.asarray(self.booster.predict(self.inputs.matrix(samples), pred_contrib=True), dtype=np.float64)

    def importance(self) -> dict[str, float]:
        """Share of the loss that splits on each feature took off."""
        gain = self.booster.feature_importance("gain")
        return dict(zip(self.inputs.names, (gain / max(gain.sum(), 1e-12)).tolist(), strict=True))

    def save(self, folder: Path) -> None:
        """LightGBM's own text format, and the names of the features."""
        text = self.booster.model_to_string()
        write_facts(folder, {"names": self.inputs.names, "digest": _digest(text)})
        (folder / _MODEL).write_text(text)


def fit(
    train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent
) -> LambdaMart | NoSignal:
    """Boost trees; with `valid` until its NDCG@10 no longer rises, and those up to the best are kept."""
    if not has_signal(train, "lambdamart"):
        return NoSignal(train.names)
    library = imported("lightgbm", "rank")
    params: dict[str, Any] = {
        "objective": _OBJECTIVES[options.objective],
        "metric": "ndcg" if options.objective != "binary" else "binary_logloss",
        "eval_at": [10],
        "learning_rate": options.learning_rate,
        "num_leaves": options.num_leaves,
        "min_data_in_leaf": options.min_leaf_rows,
        "feature_fraction": options.feature_share,
        "lambda_l2": options.lambda_l2,
        "lambdarank_truncation_level": options.truncation,
        "max_bin": options.num_bins,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    inputs = Inputs(train.names)

    def data(samples: Samples, reference: Any = None) -> Any:
        return library.Dataset(
            inputs.matrix(samples),
            label=samples.label,
            weight=samples.weight,
            group=np.diff(samples.starts),
            reference=reference,
        )

    def report(env: Any) -> None:
        progress(env.iteration + 1, options.num_rounds, "lambdamart")

    learned = data(train)
    held = [data(valid, learned)] if valid is not None and len(valid) and (valid.label > 0).any() else []
    callbacks = [report, *([library.early_stopping(options.patience, verbose=False)] if held else [])]
    booster = library.train(params, learned, options.num_rounds, valid_sets=held, callbacks=callbacks)
    if held:
        booster = library.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))
    return LambdaMart(train.names, booster)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    facts = read_facts(folder)
    if nothing := no_signal(facts):
        return nothing
    library = imported("lightgbm", "rank")
    try:
        text = (folder / _MODEL).read_text()
        if _digest(text) != facts["digest"]:  # LightGBM ends the process at a text that is cut off
            raise DataError("its digest differs")
        booster = library.Booster(model_str=text)
    except (OSError, UnicodeDecodeError, KeyError, DataError, library.basic.LightGBMError) as error:
        raise DataError(f"{folder / _MODEL}: cannot be read ({error}); compute the stage rank again") from None
    return LambdaMart(facts["names"], booster)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
