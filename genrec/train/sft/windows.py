"""One pass per user: training sequences as windows in which every item is a target once.

A window holds at most max_history + 1 items, so its last target sees exactly the history an evaluation prompt holds.
A longer sequence is cut into overlapping windows; items that only serve as history of a later window carry no loss,
and every target but the first ones sees at least half of the longest history.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_MAX_PADDING = 0.25  # share of a forward's item slots that may be padding


@dataclass(frozen=True)
class Windows:
    """W windows over a flat array of items: window w is items[start[w]:end[w]], targets from first_target[w] on.

    The last `num_repeats` are some of the others again, for the sake of the `wanted` items, the only targets there.
    """

    items: np.ndarray  # int64[sum of sequence lengths]
    start: np.ndarray  # int64[W]
    end: np.ndarray  # int64[W]
    first_target: np.ndarray  # int64[W], a position in `items`
    num_repeats: int = 0
    wanted: np.ndarray | None = None  # bool[N] by item

    def __len__(self) -> int:
        return len(self.start)

    @property
    def lengths(self) -> np.ndarray:
        return self.end - self.start

    @property
    def num_plain(self) -> int:
        """Windows that are no repeats."""
        return len(self) - self.num_repeats

    @property
    def num_targets(self) -> int:
        """Of the windows that are no repeats."""
        return int((self.end - self.first_target)[: self.num_plain].sum())

    def with_repeats(self, wanted: np.ndarray) -> "Windows":
        """The same windows, and behind them again those that have a target among the `wanted` items, bool[N]."""
        before = np.concatenate([[0], np.cumsum(wanted[self.items])])
        again = np.flatnonzero(before[self.end] > before[self.first_target])
        start, end, first_target = (np.concatenate([a, a[again]]) for a in (self.start, self.end, self.first_target))
        return Windows(self.items, start, end, first_target, len(again), wanted)

    def rows_of_epoch(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """int64[size]: every window that is no repeat once, and repeats, each as often as the others or once more."""
        plain, repeats = np.split(np.arange(len(self)), [self.num_plain])
        whole, rest = divmod(size - self.num_plain, max(1, self.num_repeats))
        return np.concatenate([plain, np.tile(repeats, whole), rng.choice(repeats, rest, replace=False)])

    def gather(
        self,
        rows: np.ndarray,
        reverse: np.ndarray | None = None,
        keep: float = 1.0,
        crop: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Items int64[B, M] of some windows, padded on the right with item 0, and bool[B, M]: is it a target.

        Windows where `reverse`, bool[B], is set come newest item first; their targets stay the same items. With `keep`
        below 1, `rng` leaves out each item with probability 1 - keep (but no window whole); the others close up. With
        probability `crop` a window begins at a random item of its own.
        """
        start, end = self.start[rows, None], self.end[rows, None]
        if rng is not None and crop > 0:
            skip = np.floor(rng.random(start.shape) * (end - start)).astype(np.int64)
            start = start + np.where(rng.random(start.shape) < crop, skip, 0)
        column = np.arange(int((end - start).max()))[None, :]
        inside = start + column < end
        place = start + column if reverse is None else np.where(reverse[:, None], end - 1 - column, start + column)
        items = self.items[np.clip(place, 0, len(self.items) - 1)]
        targets = inside & (place >= self.first_target[rows, None])
        if self.wanted is not None:
            targets &= (rows[:, None] < self.num_plain) | self.wanted[items]
        if rng is not None and keep < 1:
            draw = np.where(inside, rng.random(inside.shape), 2.0)
            inside &= (draw < keep) | ((draw == draw.min(1, keepdims=True)) & ~(draw < keep).any(1, keepdims=True))
            order = np.argsort(~inside, axis=1, kind="stable")
            items, targets, inside = (np.take_along_axis(a, order, axis=1) for a in (items, targets, inside))
            width = int(inside.sum(1).max())
            items, targets, inside = items[:, :width], targets[:, :width], inside[:, :width]
        return np.where(inside, items, 0), targets & inside


def make_windows(items: np.ndarray, offsets: np.ndarray, max_history: int) -> Windows:
    """Windows of the sequences items[offsets[i]:offsets[i + 1]]; empty sequences give none."""
    width = max_history + 1
    stride = max(1, max_history // 2)
    begin, stop = offsets[:-1].astype(np.int64), offsets[1:].astype(np.int64)
    lengths = stop - begin
    count = np.where(lengths > 0, 1 + -(-np.maximum(lengths - width, 0) // stride), 0)
    sequence = np.repeat(np.arange(len(lengths)), count)
    index = np.arange(len(sequence)) - np.repeat(np.cumsum(count) - count, count)
    end = np.minimum(begin[sequence] + width + index * stride, stop[sequence])
    start = np.maximum(begin[sequence], end - width)
    first_target = np.where(index == 0, start, begin[sequence] + width + (index - 1) * stride)
    return Windows(items.astype(np.int64), start, end, first_target)


def shuffled_batches(rows: np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Windows `rows` of each optimizer step, in an order that `rng` decides."""
    order = rng.permutation(rows)
    return np.split(order, np.arange(batch_size, len(order), batch_size)) if len(order) else []


def micro_batches(
    rows: np.ndarray, lengths: np.ndarray, max_rows: int, max_items: int | None = None, packed: bool = False
) -> Iterator[np.ndarray]:
    """Cut a batch into forwards of at most `max_rows` windows of like length (at most a quarter padding).

    `lengths[i]` belongs to `rows[i]`. The longest come first, so that memory peaks at once or never. A forward has at most
    `max_items` items, padding included, but one window at least. `packed`: there is no padding, whatever the lengths.
    """
    order = np.argsort(-lengths, kind="stable")
    rows, lengths = rows[order], lengths[order]
    start = 0
    while start < len(rows):
        block = lengths[start : start + max_rows]
        total = np.cumsum(block)
        slots = total if packed else block[0] * np.arange(1, len(block) + 1)
        too_much = 1 - total / slots > _MAX_PADDING  # padding only grows along the block
        if max_items is not None:
            too_much |= slots > max_items
        too_much[0] = False
        size = int(np.searchsorted(too_much, True))
        yield rows[start : start + size]
        start += size
