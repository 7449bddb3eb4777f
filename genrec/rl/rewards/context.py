"""What a reward may know beside the candidates and the target."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from genrec.errors import DataError
from genrec.schemas import CATALOGUE, read_table


class RewardContext(NamedTuple):
    """Facts about the catalogue, the same for every batch, and about the B prompts of a batch (`for_prompts`).

    N items, L levels, C categories of an item at most, H items of a history at most. All tensors are on one device.
    Nothing in it comes from validation or test interactions.
    """

    sids: torch.Tensor  # int64[N, L], row i is the semantic id of item i
    train_counts: torch.Tensor  # int64[N], training events with the item
    categories: torch.Tensor | None = None  # int64[N, C], general to specific, -1 behind the last; None: unknown
    event_names: tuple[str, ...] = ()  # the event types of the training data; `target_event` points into it
    history: torch.Tensor | None = None  # int64[B, H], items of the prompts, -1 behind the last; None: unknown
    target_event: torch.Tensor | None = None  # int64[B]; None: unknown

    def for_prompts(self, histories: list[np.ndarray], target_event: np.ndarray | None) -> "RewardContext":
        """The same catalogue with the facts of B prompts: their items and the event type of their target."""
        width = max((len(h) for h in histories), default=0)
        history = np.full((len(histories), width), -1, dtype=np.int64)
        lengths = np.array([len(h) for h in histories], dtype=np.int64)
        history[np.arange(width) < lengths[:, None]] = np.concatenate([*histories, np.empty(0, np.int64)])
        device = self.sids.device
        event = None if target_event is None else torch.from_numpy(target_event.astype(np.int64)).to(device)
        return self._replace(history=torch.from_numpy(history).to(device), target_event=event)

    def rows(self, prompts: torch.Tensor) -> "RewardContext":
        """The context of some prompts of the batch, int64[b] or bool[B]."""
        return self._replace(
            history=None if self.history is None else self.history[prompts],
            target_event=None if self.target_event is None else self.target_event[prompts],
        )


def read_context(
    catalogue: Path, sids: np.ndarray, event_names: tuple[str, ...], device: torch.device
) -> RewardContext:
    """The facts of catalogue.parquet beside semantic ids int[N, L]. Raises DataError when the two differ in length."""
    table = read_table(catalogue, CATALOGUE, ["categories", "train_count"])
    if table.num_rows != len(sids):
        raise DataError(
            f"sids.parquet has {len(sids)} items but catalogue.parquet has {table.num_rows}; they belong together"
        )
    column = table["categories"].combine_chunks()
    lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    names = column.flatten().dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    width = int(lengths.max(initial=0))
    categories = np.full((len(lengths), width), -1, dtype=np.int64)
    categories[np.arange(width) < lengths[:, None]] = codes
    return RewardContext(
        torch.from_numpy(sids.astype(np.int64)).to(device),
        torch.from_numpy(table["train_count"].to_numpy().astype(np.int64)).to(device),
        torch.from_numpy(categories).to(device) if width else None,
        event_names,
    )
