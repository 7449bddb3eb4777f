"""Alternating least squares on implicit feedback, by the `implicit` library.

Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets" (ICDM 2008): factors of users and items
fitted to preference 1 with confidence 1 + alpha where there was an event, preference 0 with confidence 1 elsewhere. A
user's factors are solved again from the history at prediction time (section 4), so later events count.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg.lapack import sposv
from threadpoolctl import ThreadpoolController

from genrec.recall.parts.channel import Channel, ZeroScorer
from genrec.recall.parts.index_files import State
from genrec.recall.parts.scorer import History, Training, history_of_one, history_weights, incidence, rank_unknown_last
from genrec.variants import setting


@dataclass(frozen=True)
class Config:
    """ALS."""

    factors: int = setting(128, "Dimensions of the factors.", ge=1)
    regularization: float = setting(0.03, "Weight of the squared norms.", ge=0)
    alpha: float = setting(10.0, "Confidence of an event over that of no event.", gt=0)
    iterations: int = setting(8, "Rounds of solving for users, then for items.", ge=1)
    history_decay: float = setting(
        0.8, "Confidence of a history item is alpha * history_decay ** age at prediction time.", gt=0, le=1
    )


CHOICES = {
    "history_decay": (0.4, 0.6, 0.8),
    "regularization": (0.03, 1.0),
    "factors": (128, 256),
    "alpha": (10.0, 30.0, 100.0),
}
RANKING = ("history_decay",)


class Factors(Channel):
    """Scorer by inner products."""

    known: NDArray[np.bool_]

    def __init__(self, model: Any, known: NDArray[np.bool_], decay: float) -> None:
        self.model, self.known, self.decay = model, known, decay
        self.num_items = len(known)

    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: factors solved from the history times the items' factors."""
        return rank_unknown_last(self._products(histories), self.known)

    def _products(self, histories: Sequence[History]) -> NDArray[np.float32]:
        if not len(histories):
            return np.zeros((0, self.num_items), dtype=np.float32)
        return self._users(histories) @ self.model.item_factors.T

    def _users(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, factors], solved from the histories."""
        if len(histories) == 1 and (solved := self._user(histories[0])) is not None:
            return solved[None]
        # implicit takes a matrix, not an array
        weights = sp.csr_matrix(history_weights(histories, self.num_items, self.decay))
        weights.sum_duplicates()
        with _one_thread():
            return self.model.recalculate_user(np.arange(len(histories)), weights)

    def _user(self, history: History) -> NDArray[np.float32] | None:
        """float32 [factors] as the library solves them for many, without the matrices that it needs; None where the normal
        equations have no solution."""
        items, weights = history_of_one(history, self.num_items, self.decay)
        confidence, factors = np.float32(self.model.alpha) * weights, self.model.item_factors[items]
        normal = self._normal + (factors.T * (confidence - 1)) @ factors
        _, solved, failed = sposv(normal, confidence @ factors, lower=True, overwrite_a=True)
        return None if failed else solved

    @functools.cached_property
    def _normal(self) -> NDArray[np.float32]:
        """float32 [factors, factors]: the normal equations of a user without events."""
        model = self.model
        return model.YtY + np.float32(model.regularization) * np.eye(model.factors, dtype=np.float32)

    def with_options(self, options: Config) -> "Factors":
        """The same factors with the decay of the options."""
        return Factors(self.model, self.known, options.history_decay)

    def state(self) -> State:
        """The items' factors, and what solves for a user's."""
        model = self.model
        solver = {name: getattr(model, name) for name in ("factors", "regularization", "alpha")}
        arrays = {"item_factors": model.item_factors, "known": self.known}
        return arrays, {"decay": self.decay, **solver}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "Factors":
        """The channel that has this state."""
        model = _model(**{name: settings[name] for name in ("factors", "regularization", "alpha")})
        model.item_factors = arrays["item_factors"]
        return cls(model, arrays["known"], float(settings["decay"]))


load = Factors.load


@functools.cache
def _libraries() -> ThreadpoolController:
    """Found once: looking for them takes as long as a request. The one that implicit computes with is there by then."""
    import implicit.cpu.als  # noqa: F401

    return ThreadpoolController()


def _one_thread() -> Any:
    """Many tiny solves: the library warns where BLAS threads compete with its own."""
    return _libraries().limit(limits=1, user_api="blas")


def _model(**options: Any) -> Any:
    with _one_thread():
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(num_threads=1, **options)


def fit(data: Training, options: Config) -> Factors | ZeroScorer:
    """Factorize the training events."""
    users_items = incidence(data.sequences, data.num_items)
    if not users_items.nnz:
        return ZeroScorer(data.num_items)
    model = _model(
        factors=options.factors,
        regularization=options.regularization,
        alpha=options.alpha,
        iterations=options.iterations,
        random_state=data.seed,
    )
    with _one_thread():
        model.fit(sp.csr_matrix(users_items), show_progress=False)
    return Factors(model, users_items.sum(axis=0) > 0, options.history_decay)
