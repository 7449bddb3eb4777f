"""Item vectors for the tokenizer: text beside co-occurrence, and text alone for items without training events.

A fused vector is the text vector and the co-occurrence vector side by side, each scaled so that its mean squared
distance from its mean makes up its share (1 - weight, weight). Items without training events get the co-occurrence
vector that a ridge regression on text predicts: their codes depend on text alone, and are those of warm items
with such texts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.errors import DataError
from genrec.sid.cooccurrence import cooccurrence_counts, ppmi_embedding

if TYPE_CHECKING:
    from genrec.config import FusionConfig

FUSION_FILE = "fusion.safetensors"
_RIDGE = 0.1  # penalty, in mean variances of a text dimension


class Fusion:
    """The map from text vectors to what the tokenizer reads.

    Args:
        text_scale: factor of the text vectors.
        center: float32 [d], mean text vector of warm items.
        predict: float32 [d, r], (text - center) @ predict + offset is the co-occurrence part of an item without one.
        offset: float32 [r].
    """

    def __init__(self, text_scale: np.ndarray, center: np.ndarray, predict: np.ndarray, offset: np.ndarray) -> None:
        self.text_scale, self.center, self.predict, self.offset = text_scale, center, predict, offset

    def fuse(self, text: np.ndarray, together: np.ndarray | None = None, warm: np.ndarray | None = None) -> np.ndarray:
        """float32 [N, d + r].

        Args:
            text: float32 [N, d].
            together: float32 [N, r], scaled co-occurrence vectors, or None: all items are cold.
            warm: bool [N], the items whose row of `together` counts.
        """
        if text.shape[1] != len(self.center):
            raise DataError(f"vectors of {text.shape[1]} dimensions where the fused ids have {len(self.center)}")
        right = (text - self.center) @ self.predict + self.offset
        if together is not None and warm is not None:
            right[warm] = together[warm]
        return np.concatenate([text * self.text_scale, right], axis=1).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write fusion.safetensors into an existing folder."""
        save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, folder / FUSION_FILE)

    @classmethod
    def load(cls, folder: Path) -> Fusion | None:
        """What `save` wrote, or None where ids rest on text alone. Raises DataError for a damaged file."""
        path = folder / FUSION_FILE
        if not path.is_file():
            return None
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise DataError(f"{path}: not a saved fusion ({error}); run the sid stage") from error
        if missing := {"text_scale", "center", "predict", "offset"} ^ set(tensors):
            raise DataError(f"{path}: not a saved fusion (missing or unknown: {sorted(missing)}); run the sid stage")
        return cls(**tensors)


def fused_vectors(text: np.ndarray, train_path: Path, config: FusionConfig) -> tuple[np.ndarray, Fusion | None]:
    """The vectors a tokenizer is fitted on: float32 [N, d] (weight 0) or [N, d + r], and the map for new items.

    Args:
        text: float32 [N, d], row i is item i.
        train_path: train.parquet: only training events are read.
        config: settings of the fusion.
    """
    if config.weight == 0:
        return text, None
    counts = cooccurrence_counts(train_path, len(text), config.window)
    warm = np.asarray(counts.sum(axis=1)).reshape(-1) > 0
    if not warm.any():
        return text, None
    together = ppmi_embedding(counts, config.dim, config.smoothing)
    together = together * _scale(together[warm], config.weight)
    fusion = _fit(text, together, warm, _scale(text, 1 - config.weight))
    return fusion.fuse(text, together, warm), fusion


def _scale(vectors: np.ndarray, share: float) -> np.float32:
    """The factor that makes the mean squared distance from the mean `share`."""
    spread = float(np.square(vectors - vectors.mean(axis=0, dtype=np.float64)).sum(axis=1).mean())
    return np.float32(np.sqrt(share / spread)) if spread > 1e-12 else np.float32(1)


def _fit(text: np.ndarray, together: np.ndarray, warm: np.ndarray, text_scale: np.float32) -> Fusion:
    """Ridge regression of co-occurrence on text over the warm items."""
    known = text[warm].astype(np.float64)
    center, offset = known.mean(axis=0), together[warm].mean(axis=0, dtype=np.float64)
    centered = known - center
    covariance = centered.T @ centered / len(known)
    penalty = _RIDGE * max(np.trace(covariance) / len(covariance), 1e-12)
    targets = centered.T @ (together[warm] - offset) / len(known)
    predict = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), targets)
    return Fusion(
        np.asarray(text_scale, dtype=np.float32),
        center.astype(np.float32),
        predict.astype(np.float32),
        offset.astype(np.float32),
    )
