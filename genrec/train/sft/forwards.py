"""A batch of training windows cut into forwards."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from genrec.train.sft.windows import Windows, micro_batches

if TYPE_CHECKING:
    from genrec.config import SftConfig


class Forward(NamedTuple):
    """Some windows of a batch, on the CPU: where the targets are is known there, a device would have to be waited for."""

    rows: np.ndarray  # int64[B], the windows
    items: torch.Tensor  # int64[B, M]
    targets: torch.Tensor  # bool[B, M]

    def halves(self) -> list["Forward"]:
        """The same windows in two forwards, or in one where there is but one."""
        size = max(1, -(-len(self.rows) // 2))
        cuts = [slice(start, start + size) for start in range(0, len(self.rows), size)]
        return [Forward(self.rows[part], self.items[part], self.targets[part]) for part in cuts]


def cut(
    windows: Windows, rows: np.ndarray, config: "SftConfig", rng: np.random.Generator | None, max_rows: int
) -> list[Forward]:
    """Forwards of at most `max_rows` windows of like length, each with the draws of `rng` for itself."""
    parts = micro_batches(rows, windows.lengths[rows], max_rows)
    return [_gather(windows, part, config, rng) for part in parts]


def cut_evenly(
    windows: Windows,
    rows: np.ndarray,
    config: "SftConfig",
    rng: np.random.Generator | None,
    max_rows: int,
    max_items: int | None,
    packed: bool,
) -> list[Forward]:
    """Forwards whose draws do not depend on how the batch is cut: they are made for the whole of it."""
    rows = rows[np.argsort(-windows.lengths[rows], kind="stable")]
    whole = _gather(windows, rows, config, rng)
    lengths = windows.lengths[rows]
    found = []
    for part in micro_batches(np.arange(len(rows)), lengths, max_rows, max_items, packed):
        width = int(lengths[part[0]])
        found.append(Forward(rows[part], whole.items[part, :width], whole.targets[part, :width]))
    return found


def _gather(windows: Windows, rows: np.ndarray, config: "SftConfig", rng: np.random.Generator | None) -> Forward:
    reverse = None if rng is None else rng.random(len(rows)) < config.reverse_share
    arrays = windows.gather(rows, reverse, 1 - config.item_dropout, config.crop_share, rng)
    return Forward(rows, *(torch.from_numpy(a) for a in arrays))


class Packed(NamedTuple):
    """The windows of a forward one after the other, as far as their last targets."""

    items: torch.Tensor  # int64[N]
    lengths: np.ndarray  # int64[B'], none 0, N in all
    places: torch.Tensor  # int64[T], of the targets among the items


def pack(items: torch.Tensor, targets: torch.Tensor) -> Packed:
    """Of int64[B, M] and bool[B, M]; what no target follows is left out, and so is a window without one (but not all)."""
    column = torch.arange(1, items.shape[1] + 1)
    lengths = (targets * column).amax(1)
    lengths[0].clamp_(min=1)
    inside = column <= lengths[:, None]
    return Packed(items[inside], lengths[lengths > 0].numpy(), targets[inside].nonzero().squeeze(1))
