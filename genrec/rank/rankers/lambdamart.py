"""LambdaMART: gradient-boosted trees on the pairs of a list, each weighted by the NDCG that swapping it would change.

Burges, "From RankNet to LambdaRank to LambdaMART: an overview" (Microsoft Research MSR-TR-2010-82, section 4), as
implemented by LightGBM (Ke et al., NeurIPS 2017), with missing features sent to the better side of each split.
`xendcg` is the listwise loss of Bruch, "An alternative cross entropy loss for learning-to-rank" (WWW 2021, arXiv
1911.09798), `binary` the pointwise log loss.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.rank.rankers.parts.few_rows import FewRows, compiled
from genrec.rank.rankers.parts.ranker import Inputs, NoSignal, Ranker
from genrec.rank.rankers.parts.trees import Trees, TreesConfig, fit_trees
from genrec.rank.samples import Samples
from genrec.variants import setting

_FEW = 1 << 11  # rows up to which compiled trees are faster
_OBJECTIVES = {"lambdarank": "lambdarank", "xendcg": "rank_xendcg", "binary": "binary"}


@dataclass(frozen=True)
class LeavesConfig(TreesConfig):
    """Settings of LightGBM's trees, whatever they are to minimise."""

    num_leaves: int = setting(7, "Leaves of a tree.", ge=2)
    min_leaf_rows: int = setting(50, "Rows of a leaf, at least.", ge=1)
    truncation: int = setting(20, "Pairs with one candidate among the first that many count (lambdarank).", ge=1)
    num_bins: int = setting(127, "Different values of a feature that are told apart.", ge=3, le=255)


@dataclass(frozen=True)
class Config(LeavesConfig):
    """LambdaMART."""

    objective: Literal["lambdarank", "xendcg", "binary"] = setting(
        "lambdarank", "lambdarank (pairwise, weighted by NDCG), xendcg (listwise) or binary (pointwise)."
    )


class LambdaMart(Trees):
    """A fitted model."""

    library, file = "lightgbm", "model.txt"

    def contributions(self, samples: Samples) -> NDArray[np.float64]:
        """SHAP values by feature and, last, the mean score: float64 [R, F + 1]; a row sums up to its score.

        Exact for trees (Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
        Nature Machine Intelligence 2020).
        """
        return np.asarray(self.booster.predict(self.inputs.matrix(samples), pred_contrib=True), dtype=np.float64)

    def _sums(self, features: NDArray[np.float32]) -> NDArray[np.floating]:
        if len(features) <= _FEW and (trees := self.compiled) is not None:
            return trees.sums(features)
        return self.booster.predict(features, raw_score=True)

    @functools.cached_property
    def compiled(self) -> FewRows | None:
        """Its trees for a few rows at once; None where they do not fit."""
        return compiled(self.booster)

    def _gains(self) -> Any:
        return self.booster.feature_importance("gain")

    def _write(self, path: Path) -> dict[str, Any]:
        text = self.booster.model_to_string()
        path.write_text(text)
        return {"digest": _digest(text)}

    @staticmethod
    def _read(library: Any, path: Path, facts: dict[str, Any]) -> Any:
        text = path.read_text()
        if _digest(text) != facts["digest"]:  # LightGBM ends the process at a text that is cut off
            raise DataError("its digest differs")
        try:
            return library.Booster(model_str=text)
        except library.basic.LightGBMError as error:
            raise DataError(str(error)) from None


def fit(
    train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent
) -> Trees | NoSignal:
    """Boost trees; with `valid` until its NDCG@10 no longer rises, and those up to the best are kept."""
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

    def report(env: Any) -> None:
        progress(env.iteration + 1, options.num_rounds, "lambdamart")

    def boost(library: Any, inputs: Inputs, train: Samples, held: Samples | None) -> Any:
        def data(samples: Samples, reference: Any = None) -> Any:
            group = np.diff(samples.starts)
            return library.Dataset(
                inputs.matrix(samples), label=samples.label, weight=samples.weight, group=group, reference=reference
            )

        learned = data(train)
        stopping = [] if held is None else [library.early_stopping(options.patience, verbose=False)]
        booster = library.train(
            params, learned, options.num_rounds, valid_sets=[] if held is None else [data(held, learned)],
            callbacks=[report, *stopping],
        )  # fmt: skip
        if held is None:
            return booster
        return library.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration))

    return fit_trees(LambdaMart, train, valid, boost)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    return LambdaMart.load(folder)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
