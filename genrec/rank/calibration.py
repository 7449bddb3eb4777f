"""From scores to probabilities: a logistic curve over scores of candidates that the model did not learn from.

Platt, "Probabilistic outputs for support vector machines" (1999). Scores of ranking losses mean nothing by themselves, and
training rows are chosen, so even a pointwise model knows no base rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit


@dataclass(frozen=True)
class Curve:
    """probability = 1 / (1 + exp(-(slope * score + intercept)))."""

    slope: float
    intercept: float

    def probability(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """float32 as given."""
        return expit(self.slope * scores.astype(np.float64) + self.intercept).astype(np.float32)


def fit_curve(scores: NDArray[np.floating], label: NDArray[np.float32]) -> Curve:
    """The curve of largest likelihood; flat at the share of positives where there is one class or one score."""
    positive = label > 0
    rate = (positive.sum() + 1) / (len(label) + 2)
    if not 0 < positive.sum() < len(label) or np.ptp(scores) == 0:
        return Curve(0.0, float(logit(rate)))
    from sklearn.linear_model import LogisticRegression

    centre, spread = float(scores.mean()), float(scores.std())
    standard = ((scores - centre) / spread).astype(np.float64)[:, None]
    model = LogisticRegression(C=1e6).fit(standard, positive)
    slope = float(model.coef_[0, 0]) / spread
    return Curve(slope, float(model.intercept_[0]) - slope * centre)
