"""A policy over weights: a small network from what is known of a user and the list to an action in -1..1."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Floats, Lists

Layers = list[tuple[Floats, Floats]]  # weight [out, in] and bias [out] of each layer
_CLIP = 5.0  # standard deviations


@dataclass(frozen=True)
class Inputs:
    """What a state is made of, and how it is scaled."""

    num_user: int  # features of the user
    aims: tuple[str, ...]
    mean: Floats  # [F]
    deviation: Floats  # [F]

    def raw(self, lists: Lists) -> Floats:
        """The user's features, then of the score and of every aim the mean and the standard deviation over the list,
        float32 [U, F]; NaN where unknown.
        """
        return _raw(lists, self.num_user, self.aims)

    def __call__(self, lists: Lists) -> Floats:
        """Standardised and clipped; what is unknown is 0, the mean. float32 [U, F]"""
        values = np.clip((self.raw(lists) - self.mean) / self.deviation, -_CLIP, _CLIP)
        return np.nan_to_num(values).astype(np.float32)

    @staticmethod
    def of(lists: Lists) -> "Inputs":
        """From the lists to train on."""
        num_user, names = 0 if lists.user is None else lists.user.shape[1], tuple(sorted(lists.aims))
        raw = _raw(lists, num_user, names).astype(np.float64)
        known = np.isfinite(raw)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, raw, 0).sum(axis=0) / count
        deviation = np.sqrt((np.where(known, raw - mean, 0) ** 2).sum(axis=0) / count)
        return Inputs(
            num_user, names, mean.astype(np.float32), np.where(deviation > 1e-9, deviation, 1).astype(np.float32)
        )


def _raw(lists: Lists, num_user: int, names: tuple[str, ...]) -> Floats:
    unknown = np.full((len(lists), num_user), np.nan)
    parts = [unknown if lists.user is None or lists.user.shape[1] != num_user else lists.user.astype(np.float64)]
    for values in (lists.score, *(lists.aims.get(name) for name in names)):
        if values is None:
            parts.append(np.full((len(lists), 2), np.nan))
            continue
        known = lists.present & np.isfinite(values)
        count = known.sum(axis=1)
        mean = np.where(known, values, 0).sum(axis=1, dtype=np.float64) / np.maximum(count, 1)
        square = (np.where(known, values - mean[:, None], 0) ** 2).sum(axis=1) / np.maximum(count, 1)
        parts.append(np.where(count[:, None] > 0, np.column_stack([mean, np.sqrt(square)]), np.nan))
    return np.concatenate(parts, axis=1).astype(np.float32)


class Policy:
    """Linear layers with ReLU between them and tanh at the end, as DDPG's actor."""

    def __init__(self, layers: Layers, inputs: Inputs) -> None:
        self.layers, self.inputs = layers, inputs

    @staticmethod
    def unchanged(num_actions: int, inputs: Inputs) -> "Policy":
        """The policy whose action is 0."""
        zeros = np.zeros((num_actions, len(inputs.mean)), np.float32), np.zeros(num_actions, np.float32)
        return Policy([zeros], inputs)

    def __call__(self, lists: Lists) -> NDArray[np.float64]:
        """Actions of each list, float64 [U, A]."""
        values = self.inputs(lists).astype(np.float64)
        for place, (weight, bias) in enumerate(self.layers):
            values = values @ weight.T + bias
            if place < len(self.layers) - 1:
                values = np.maximum(values, 0)
        return np.tanh(values)

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        inputs = self.inputs
        return {
            "layers": [{"weight": weight.tolist(), "bias": bias.tolist()} for weight, bias in self.layers],
            "num_user": inputs.num_user,
            "aims": list(inputs.aims),
            "mean": inputs.mean.tolist(),
            "deviation": inputs.deviation.tolist(),
        }

    @staticmethod
    def restored(state: dict[str, Any]) -> "Policy":
        """From `Policy.state`."""

        def numbers(values: list[Any]) -> Floats:
            return np.array(values, dtype=np.float32)

        inputs = Inputs(state["num_user"], tuple(state["aims"]), numbers(state["mean"]), numbers(state["deviation"]))
        return Policy([(numbers(layer["weight"]), numbers(layer["bias"])) for layer in state["layers"]], inputs)
