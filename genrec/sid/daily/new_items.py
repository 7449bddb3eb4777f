"""Ids for new items from frozen codebooks, and whether the codebooks have drifted and must be fitted again."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from genrec.errors import DataError
from genrec.sid.artifact import read_quality
from genrec.sid.fusion import Fusion
from genrec.sid.quantize.tokenizer import Tokenizer
from genrec.sid.tokenizer_files import load_tokenizer, read_meta
from genrec.sid.unique import make_unique
from genrec.tables import read_sids

# Codebooks count as drifted when new items are reconstructed this much worse than items the tokenizer had not seen
# when it was checked (beyond what chance explains), or when this many more of them find their id in use.
MAX_ERROR_RATIO = 1.25
MAX_EXTRA_MOVED_SHARE = 0.1
MIN_NEW_ITEMS = 30  # fewer are too few for a test
_STANDARD_ERRORS = 2.0


@dataclasses.dataclass(frozen=True)
class NewIds:
    """Ids of new items and how well they fit.

    Args:
        sids: int32 [M, T], distinct and none of them in use before.
        raw: int32 [M, L], the nearest codes.
        squared_errors: float64 [M], squared distance of each vector (after fusion) from the decoded raw codes.
    """

    sids: np.ndarray
    raw: np.ndarray
    squared_errors: np.ndarray

    @property
    def moved(self) -> np.ndarray:
        """bool [M]: the nearest codes were another item's id."""
        levels = self.raw.shape[1]
        if self.sids.shape[1] > levels:
            return self.sids[:, levels] > 0
        return (self.sids != self.raw).any(axis=1)


def give_ids(tokenizer: Tokenizer, vectors: np.ndarray, taken: np.ndarray, how: str) -> NewIds:
    """Ids for vectors [M, d] (after fusion) that are none of the ids `taken` [N, T]."""
    raw = tokenizer.encode(vectors)
    sids = make_unique(raw, tokenizer.project(vectors), tokenizer.codebooks, how, taken=taken)
    errors = np.square(vectors - tokenizer.decode(raw), dtype=np.float64).sum(axis=1)
    return NewIds(sids, raw, errors)


def extend(folder: Path, vectors: np.ndarray, taken: np.ndarray | None = None, device: str | None = None) -> NewIds:
    """Ids for items the tokenizer of a sid artifact has not seen; nobody else's id changes.

    Args:
        folder: a finished sid artifact.
        vectors: float32 [M, d], text vectors of the new items by the encoder of the artifact's catalogue. New items
            have no co-occurrence: where ids are fused, theirs rest on text alone.
        taken: int [N, T], all ids in use by now (those of earlier extensions too); None takes the artifact's own.
        device: torch device; None takes the GPU where there is one.

    Raises:
        DataError: vectors of another width or not finite, a damaged artifact, or no free ids left.
    """
    tokenizer, how = load_tokenizer(folder, device), read_meta(folder).get("deduplicate", "reassign")
    return give_ids(tokenizer, _fused(folder, vectors, tokenizer), read_sids(folder) if taken is None else taken, how)


def _fused(folder: Path, vectors: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or not len(vectors):
        raise DataError(f"new items: vectors of shape {vectors.shape}; [number of items, dimensions] is needed")
    if not np.isfinite(vectors).all():
        bad = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise DataError(f"new items: the vector of new item {bad} is not finite")
    fusion = Fusion.load(folder)
    if fusion is not None:
        return fusion.fuse(vectors)
    dim = read_meta(folder).get("input_dim", vectors.shape[1])
    if vectors.shape[1] != dim:
        raise DataError(
            f"new items: vectors of {vectors.shape[1]} dimensions where the tokenizer of {folder} reads {dim}; "
            "use the encoder the catalogue was embedded with"
        )
    return vectors


@dataclasses.dataclass(frozen=True)
class Drift:
    """Figures of new items beside those of the items held out of the second fit.

    Args:
        num_new: new items.
        error_ratio: mean squared error of new items, by that of held-out items.
        error_ratio_low: its lower bound: the ratio less two standard errors.
        moved_share, expected_moved_share: share of new and of held-out items whose nearest codes were in use.
        reasons: why to fit again, as sentences; empty where there is none.
    """

    num_new: int
    error_ratio: float
    error_ratio_low: float
    moved_share: float
    expected_moved_share: float
    reasons: tuple[str, ...]

    @property
    def retrain(self) -> bool:
        """Whether the codebooks have drifted enough to fit them again."""
        return bool(self.reasons)


def held_out_statistics(new: NewIds) -> dict[str, float]:
    """What `drift` later compares with: errors and moves of items the tokenizer did not see."""
    return {
        "num_items": len(new.sids),
        "mean_squared_error": float(new.squared_errors.mean()),
        "standard_error": float(new.squared_errors.std() / np.sqrt(len(new.sids))),
        "moved_share": float(new.moved.mean()),
    }


def drift(folder: Path, new: NewIds) -> Drift:
    """Whether items that came since the fit of a sid artifact still fit its codebooks.

    They are compared with the artifact's held-out items (`sid.refit`): the errors of items that the codebooks were
    fitted on are smaller than those of any new item. Fit again when the error ratio, less two standard errors, is above
    MAX_ERROR_RATIO, or the moved share is more than MAX_EXTRA_MOVED_SHARE above that of held-out items.

    Args:
        folder: a finished sid artifact.
        new: what `extend` gave for all items that came since.

    Raises:
        DataError: the artifact has no held-out check (`sid.refit: false`).
    """
    quality = read_quality(folder)
    held_out = quality.get("held_out")
    if not held_out:
        raise DataError(f"{folder}: no held-out check to compare with; run the sid stage with sid.refit: true")
    base = max(held_out["mean_squared_error"], 1e-30)
    ratio = float(new.squared_errors.mean()) / base
    relative = np.hypot(
        float(new.squared_errors.std()) / np.sqrt(len(new.sids)) / max(float(new.squared_errors.mean()), 1e-30),
        held_out["standard_error"] / base,
    )
    low = float(ratio * (1 - _STANDARD_ERRORS * relative))
    moved, expected = float(new.moved.mean()), float(held_out["moved_share"])
    reasons = []
    if len(new.sids) >= MIN_NEW_ITEMS:
        if low > MAX_ERROR_RATIO:
            reasons.append(f"new items are reconstructed {ratio:.2f} times as badly as held-out ones")
        if moved > expected + MAX_EXTRA_MOVED_SHARE:
            reasons.append(f"{moved:.0%} of the new items find their id in use, {expected:.0%} were expected to")
    return Drift(len(new.sids), ratio, low, moved, expected, tuple(reasons))
