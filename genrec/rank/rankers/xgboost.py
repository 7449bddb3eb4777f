"""XGBoost, pointwise, pairwise or listwise.

Chen and Guestrin, "XGBoost: a scalable tree boosting system" (KDD 2016, arXiv 1603.02754). pointwise: log loss of each
candidate; pairwise: RankNet's loss (Burges et al., ICML 2005) over pairs of a list; listwise: the same pairs weighted by
the NDCG that swapping them would change (LambdaMART).
"""

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
    import xgboost

_MODEL = "model.json"
_OBJECTIVES = {"pointwise": "binary:logistic", "pairwise": "rank:pairwise", "listwise": "rank:ndcg"}


@dataclass(frozen=True)
class Config:
    """XGBoost."""

    objective: Literal["pointwise", "pairwise", "listwise"] = setting(
        "listwise",
        "What a wrong order costs: of each candidate, each pair, or each pair weighted by its change of NDCG.",
    )
    num_rounds: int = setting(120, "Trees, at most.", ge=1)
    patience: int = setting(
        30, "Trees without a better figure before stopping, where rank.stopping_share holds users for it.", ge=1
    )
    learning_rate: float = setting(0.05, "Weight of a tree.", gt=0)
    max_depth: int = setting(3, "Splits from the root to a leaf.", ge=1)
    min_child_weight: float = setting(1.0, "Sum of second derivatives in a leaf, at least.", ge=0)
    feature_share: float = setting(0.3, "Share of the features that a tree may use, drawn anew for each.", gt=0, le=1)
    lambda_l2: float = setting(5.0, "L2 penalty on the values of leaves.", ge=0)
    pairs: int = setting(20, "Pairs with one candidate among the first that many count (listwise); of a candidate "
                             "(pairwise).", ge=1)  # fmt: skip
    num_bins: int = setting(128, "Different values of a feature that are told apart.", ge=2)


class XgbRanker:
    """A fitted model."""

    def __init__(self, names: tuple[str, ...], booster: "xgboost.Booster") -> None:
        self.inputs, self.booster = Inputs(names), booster

    def scores(self, samples: Samples) -> NDArray[np.float32]:
        """float32 [R]: sums of leaf values."""
        if not len(samples):
            return np.zeros(0, dtype=np.float32)
        return self.booster.inplace_predict(self.inputs.matrix(samples), predict_type="margin").astype(np.float32)

    def task_scores(self, samples: Samples) -> dict[str, NDArray[np.float32]]:
        """The scores."""
        return {LABEL: self.scores(samples)}

    def importance(self) -> dict[str, float]:
        """Share of the loss that splits on each feature took off."""
        gain: dict[str, Any] = self.booster.get_score(importance_type="total_gain")
        values = [float(gain.get(f"f{place}", 0.0)) for place in range(len(self.inputs.names))]
        return dict(zip(self.inputs.names, [value / max(sum(values), 1e-12) for value in values], strict=True))

    def save(self, folder: Path) -> None:
        """XGBoost's own JSON, and the names of the features."""
        write_facts(folder, {"names": self.inputs.names})
        self.booster.save_model(folder / _MODEL)


def fit(
    train: Samples, valid: Samples | None, options: Config, seed: int, progress: Progress = silent
) -> XgbRanker | NoSignal:
    """Boost trees; with `valid` until its figure no longer gets better, and those up to the best are kept."""
    if not has_signal(train, "xgboost"):
        return NoSignal(train.names)
    library = imported("xgboost", "rank")
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
    inputs = Inputs(train.names)

    def data(samples: Samples, reference: Any = None) -> Any:
        # A ranking loss weighs lists, all rows of which weigh alike here (genrec/rank/weights.py).
        grouped = {"group": np.diff(samples.starts), "weight": samples.weight[samples.starts[:-1]]}
        alone = {"weight": samples.weight}
        return library.QuantileDMatrix(
            inputs.matrix(samples),
            label=samples.label,
            max_bin=options.num_bins,
            ref=reference,
            **(grouped if ranks else alone),
        )

    callback: Any = library.callback.TrainingCallback

    class Report(callback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            progress(epoch + 1, options.num_rounds, "xgboost")
            return False

    learned = data(train)
    held = [(data(valid, learned), "valid")] if valid is not None and len(valid) and (valid.label > 0).any() else []
    callbacks = [Report()]
    if held:
        callbacks.append(library.callback.EarlyStopping(options.patience, save_best=True))
    booster = library.train(params, learned, options.num_rounds, evals=held, callbacks=callbacks, verbose_eval=False)
    return XgbRanker(train.names, booster)


def load(folder: Path) -> Ranker:
    """What `save` wrote. Raises DataError where it cannot be read."""
    facts = read_facts(folder)
    if nothing := no_signal(facts):
        return nothing
    library = imported("xgboost", "rank")
    booster = library.Booster()
    try:
        booster.load_model(folder / _MODEL)
    except library.core.XGBoostError as error:
        reason = str(error).partition("\n")[0]  # a stack trace of its C++ follows
        raise DataError(f"{folder / _MODEL}: cannot be read ({reason}); compute the stage rank again") from None
    return XgbRanker(facts["names"], booster)
