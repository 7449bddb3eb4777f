"""XGBoost, pointwise, pairwise or listwise.

Chen and Guestrin, "XGBoost: a scalable tree boosting system" (KDD 2016, arXiv 1603.02754). pointwise: log loss of each
candidate; pairwise: RankNet's loss (Burges et al., ICML 2005) over pairs of a list; listwise: the same pairs weighted by
the NDCG that swapping them would change (LambdaMART).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.rank.rankers.parts.ranker import Inputs, NoSignal, Ranker
from genrec.rank.rankers.parts.trees import Trees, TreesConfig, fit_trees
from genrec.rank.samples import Samples
from genrec.variants import setting

_OBJECTIVES = {"pointwise": "binary:logistic", "pairwise": "rank:pairwise", "listwise": "rank:ndcg"}


@dataclass(frozen=True)
class Config(TreesConfig):
    """XGBoost."""

    objective: Literal["pointwise", "pairwise", "listwise"] = setting(
        "listwise",
        "What a wrong order costs: of each candidate, each pair, or each pair weighted by its change of NDCG.",
    )
    max_depth: int = setting(3, "Splits from the root to a leaf.", ge=1)
    min_child_weight: float = setting(1.0, "Sum of second derivatives in a leaf, at least.", ge=0)
    pairs: int = setting(20, "Pairs with one candidate among the first that many count (listwise); of a candidate "
                             "(pairwise).", ge=1)  # fmt: skip
    num_bins: int = setting(128, "Different values of a feature that are told apart.", ge=2)


class XgbRanker(Trees):
    """A fitted model."""

    library, file = "xgboost", "model.json"

    def _sums(self, features: NDArray[np.float32]) -> NDArray[np.floating]:
        return self.booster.inplace_predict(features, predict_type="margin")

    def _gains(self) -> Any:
        gain: dict[str, Any] = self.booster.get_score(importance_type="total_gain")
        return [gain.get(f"f{place}", 0.0) for place in range(len(self.inputs.names))]

    def _write(self, path: Path) -> dict[str, Any]:
        self.booster.save_model(path)
        return {}

    @staticmethod
    def _read(library: Any, path: Path, facts: dict[str, Any]) -> Any:
        booster = library.Booster()
        try:
            booster.load_model(path)
        except library.core.XGBoostError as error:
            raise DataError(str(error).partition("\n")[0]) from None  # a stack trace of its C++ follows
        return booster


def fit(
    train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent
) -> Trees | NoSignal:
    """Boost trees; with `valid` until its figure no longer gets better, and those up to the best are kept."""
    ranks = options.objective != "pointwise"
    params: dict[str, Any] = {
        "objective": _OBJECTIVES[options.objective],
        "eval_metric": "ndcg@10" if ranks else "logloss",
        "tree_method": "hist",
        "learning_rate": options.learning_rate,
        "max_depth": options.max_depth,
        "min_child_weight": options.min_child_weight,
        "colsample_bytree": options.feature_share,
        "reg_lambda": options.lambda_l2,
        "max_bin": options.num_bins,
        "seed": seed,
        "verbosity": 0,
    }
    if ranks:
        params["lambdarank_num_pair_per_sample"] = options.pairs
        params["lambdarank_pair_method"] = "mean" if options.objective == "pairwise" else "topk"

    def boost(library: Any, inputs: Inputs, train: Samples, held: Samples | None) -> Any:
        def data(samples: Samples, reference: Any = None) -> Any:
            # A ranking loss weighs lists, all rows of which weigh alike here (genrec/rank/weights.py).
            grouped = {"group": np.diff(samples.starts), "weight": samples.weight[samples.starts[:-1]]}
            return library.QuantileDMatrix(
                inputs.matrix(samples),
                label=samples.label,
                max_bin=options.num_bins,
                ref=reference,
                **(grouped if ranks else {"weight": samples.weight}),
            )

        callback: Any = library.callback.TrainingCallback

        class Report(callback):
            def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
                progress(epoch + 1, options.num_rounds, "xgboost")
                return False

        learned = data(train)
        stopping = [] if held is None else [library.callback.EarlyStopping(options.patience, save_best=True)]
        return library.train(
            params, learned, options.num_rounds, evals=[] if held is None else [(data(held, learned), "valid")],
            callbacks=[Report(), *stopping], verbose_eval=False,
        )  # fmt: skip

    return fit_trees(XgbRanker, train, valid, boost)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    return XgbRanker.load(folder)
