"""What a reward is given beside the candidates and the target."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from genrec.errors import DataError
from genrec.tables import CATALOGUE, numbered, read_table


class Sequences(NamedTuple):
    """The training sequences, concatenated: sequence i is items[offsets[i]:offsets[i + 1]], oldest item first.

    On the CPU: only what a reward prepares of them is needed at every step.
    """

    items: torch.Tensor  # int64[E]
    offsets: torch.Tensor  # int64[S + 1]


class RewardContext(NamedTuple):
    """Facts about the catalogue, the same for every batch, and about the B prompts of a batch (`for_prompts`).

    N items, L levels, C categories of an item at most, H items of a history at most, F following ones. All tensors but
    `sequences` are on one device. In training nothing in it comes from validation or test interactions; the prompts that
    a checkpoint is judged by are those of validation.
    """

    sids: torch.Tensor  # int64[N, L], row i is the semantic id of item i
    train_counts: torch.Tensor  # int64[N], training events with the item
    categories: torch.Tensor | None = None  # int64[N, C], general to specific, -1 after the last; None: unknown
    event_names: tuple[str, ...] = ()  # the event types of the training data; `..._event` point into it
    sequences: Sequences | None = None  # of training; None: unknown
    prepared: Any = None  # what the called reward's `prepare` returned
    history: torch.Tensor | None = None  # int64[B, H], oldest item first, -1 before the first; None: unknown
    target_event: torch.Tensor | None = None  # int64[B]; None: unknown
    following: torch.Tensor | None = None  # int64[B, F], the target and what came next, then -1; None: unknown
    following_event: torch.Tensor | None = None  # int64[B, F], the event type of each, then -1; None: unknown
    from_training: bool = True  # whether `following` is part of `sequences`, and of what was counted in them

    def for_prompts(
        self,
        histories: list[np.ndarray],
        target_event: np.ndarray | None,
        following: np.ndarray | None = None,
        following_event: np.ndarray | None = None,
    ) -> "RewardContext":
        """The same catalogue with the facts of B prompts: their items, the event type of their target, and what came
        next in the training sequences they were cut from, items and event types.
        """
        width = max((len(h) for h in histories), default=0)
        history = np.full((len(histories), width), -1, dtype=np.int64)
        lengths = np.array([len(h) for h in histories], dtype=np.int64)
        history[np.arange(width) >= width - lengths[:, None]] = np.concatenate([*histories, np.empty(0, np.int64)])

        def tensor(array: np.ndarray | None) -> torch.Tensor | None:
            return None if array is None else torch.from_numpy(array.astype(np.int64)).to(self.sids.device)

        return self._replace(
            history=tensor(history),
            target_event=tensor(target_event),
            following=tensor(following),
            following_event=tensor(following_event),
        )


def read_context(
    catalogue: Path,
    sids: np.ndarray,
    event_names: tuple[str, ...],
    device: torch.device,
    sequences: tuple[np.ndarray, np.ndarray] | None = None,
) -> RewardContext:
    """The facts of catalogue.parquet beside semantic ids int[N, L] and the training sequences (items, offsets).

    Raises DataError when catalogue and ids differ in length.
    """
    table = read_table(catalogue, CATALOGUE, ["categories", "train_count"])
    if table.num_rows != len(sids):
        raise DataError(
            f"sids.parquet has {len(sids)} items but catalogue.parquet has {table.num_rows}; they belong together"
        )
    column = table["categories"].combine_chunks()
    lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    codes, _ = numbered(column.flatten())
    width = int(lengths.max(initial=0))
    categories = np.full((len(lengths), width), -1, dtype=np.int64)
    categories[np.arange(width) < lengths[:, None]] = codes
    return RewardContext(
        torch.from_numpy(sids.astype(np.int64)).to(device),
        torch.from_numpy(table["train_count"].to_numpy().astype(np.int64)).to(device),
        torch.from_numpy(categories).to(device) if width else None,
        event_names,
        None if sequences is None else Sequences(*(torch.from_numpy(a) for a in sequences)),
    )
