"""Whether a new model is promoted: a paired interval on validation rows, not a point estimate on test rows.

Both models rank the same validation rows; users are resampled for the interval of the difference in NDCG at the
headline cut-off. Under `if_not_worse` the new model is promoted unless that interval lies wholly below zero (or below
the loss that is allowed): not worse beyond chance. Under `if_better` it has to lie wholly above zero.

How often a model that is no better is promoted (c: `evaluate.confidence`, 0.95 by default; h: half the width of the
interval, which shrinks with the square root of the number of users):

- an equally good one: in (1 + c) / 2 = 97.5% of the nights under `if_not_worse`, (1 - c) / 2 = 2.5% under `if_better`
  (simulated with 400 users and 1,000 resamples: 97.1% and 3.1%);
- under `if_not_worse`, one that truly loses h: in half of the nights; one that loses 2 h: in 2.5%. The standard
  deviation over users of the difference in NDCG@10 is about 0.2 between models of like quality (0.12 to 0.25 among the
  best on the two built-in shops); h is then 0.012 at 1,000 users, 0.004 at 10,000 and 0.0012 at 100,000.

Small losses can add up over many nights, because each night compares with the night before only; `if_better` does not
let them. With the same split over growing data the model in service has not trained on these rows. The checkpoint of the
new model was chosen on a sample of them, which favours it a little; the test figures, on which nothing is decided, are
reported beside.
"""

from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.config import EvaluateConfig
from genrec.errors import DataError
from genrec.in_service.ranks import CURRENT, NEW, RANKS_FILE, read_ranks
from genrec.measure.comparison import TRAINED, Comparison
from genrec.measure.evaluation import headline_k
from genrec.measure.predictions import read_ranks as read_predicted_ranks

Rule = Literal["if_not_worse", "if_better"]


def decide(
    evaluated: Path, ranks: Path, config: EvaluateConfig, rule: Rule = "if_not_worse", max_loss: float = 0.0
) -> dict[str, Any]:
    """The new model and the one in service on the same rows, and whether the new one is promoted.

    Args:
        evaluated: folder of the evaluate artifact of the new run; holds the new model's ranks on test rows.
        ranks: folder with ranks.parquet (`genrec.in_service.ranks`).
        config: settings of the evaluation.
        rule: see the module's docstring.
        max_loss: share of the NDCG in service that a new model may lose under `if_not_worse`, beyond chance.

    Returns:
        Plain JSON data: metric, rule, what `judge` returns for the validation rows, and `test` {new, current, difference,
        ci, share_in_favour, relative, rows, users} for the test rows.

    Raises:
        DataError: the two were not measured on the same rows.
    """
    valid_users, new = read_ranks(ranks, "valid", NEW)
    users, current = read_ranks(ranks, "valid", CURRENT)
    test_users, _, test_new = read_predicted_ranks(evaluated, TRAINED[-1], config.seen_items)
    users_on_test, test_current = read_ranks(ranks, "test", CURRENT)
    if not (np.array_equal(valid_users, users) and np.array_equal(test_users, users_on_test)):
        raise DataError(
            f"{ranks / RANKS_FILE}: holds other rows than the run it is compared with; remove the folder and run again"
        )
    on_valid = judge(users, new, current, config, rule, max_loss)
    on_test = _figures(test_users, test_new, test_current, config)
    return {"metric": f"ndcg@{headline_k(config)}", "rule": rule, **on_valid, "test": on_test}


def judge(
    users: NDArray[np.int32],
    new: NDArray[np.int32],
    current: NDArray[np.int32],
    config: EvaluateConfig,
    rule: Rule,
    max_loss: float,
) -> dict[str, Any]:
    """The rule applied to the ranks int32 [n] of the two models on the same rows.

    Returns {new, current, difference, ci, share_in_favour, relative, rows, users, good_enough, equal_promoted,
    loss_passed}: equal_promoted is the share of equally good models that the rule promotes, loss_passed the true loss in
    NDCG at which it promotes half of the models (null under if_better); both by the normal approximation.
    """
    figures = _figures(users, new, current, config)
    low, high = figures["ci"]
    half_width = (high - low) / 2
    z = NormalDist().inv_cdf((1 + config.confidence) / 2)
    if rule == "if_better":
        good_enough, loss_passed = low > 0, None
        equal = NormalDist().cdf(-z) if half_width else 0.0
    else:
        allowed = max_loss * figures["current"]
        good_enough, loss_passed = high >= -allowed, round(half_width + allowed, 6)
        equal = NormalDist().cdf(z * (1 + allowed / half_width)) if half_width else 1.0
    return {**figures, "good_enough": good_enough, "equal_promoted": round(equal, 4), "loss_passed": loss_passed}


def _figures(
    users: NDArray[np.int32], new: NDArray[np.int32], current: NDArray[np.int32], config: EvaluateConfig
) -> dict[str, Any]:
    k = headline_k(config)
    ranks = {NEW: [new], CURRENT: [current]}
    measured = Comparison(ranks, users, [k], num_bootstrap=config.num_bootstrap, confidence=config.confidence)
    means = {model: measured.figure(model, f"ndcg@{k}")["mean"] for model in ranks}
    difference = measured.difference(NEW, CURRENT, f"ndcg@{k}")
    return {**means, **difference, "rows": len(users), "users": len(np.unique(users))}
