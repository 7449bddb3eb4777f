"""A table of item-to-item transitions counted in the training sequences, mixed into the dense head's distribution.

On sparse data a table of counts predicts the next item about as well as a trained model, with other errors (directed
transitions beat trained models on most public sets, arXiv 2605.07125). The two are mixed as probabilities, as a
language model is with its nearest neighbours (Khandelwal et al. 2020, Generalization through Memorization, eq. 3):

    q(item | history) = (1 - share) * q_dense(item | history) + share * q_table(item | history)

where q_table is the sum of the transition weights of the history's items, each history_decay ** age, scaled to 1.
The table is counted, not trained: it lives in `items.safetensors` beside the item vectors.
"""

import numpy as np
import torch
from torch import nn

from genrec.search.prefix_blocks import Mixture
from genrec.transitions import weighted_pairs

MAX_TARGETS = 256  # transitions kept for a source item: the strongest


class Transitions(nn.Module):
    """Weights of E transitions between N items, by source item (CSR)."""

    starts: torch.Tensor  # int64[N + 1]
    targets: torch.Tensor  # int64[E]
    weights: torch.Tensor  # float32[E]
    history_decay: torch.Tensor  # float32[]
    window: torch.Tensor  # int64[]

    def __init__(
        self, starts: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, history_decay: float, window: int
    ) -> None:
        """`history_decay`: weight of a history item as a power of its age; `window`: longest distance counted."""
        super().__init__()
        self.register_buffer("starts", starts)
        self.register_buffer("targets", targets)
        self.register_buffer("weights", weights)
        self.register_buffer("history_decay", torch.tensor(history_decay))
        self.register_buffer("window", torch.tensor(window))

    @classmethod
    def empty_like(cls, tensors: dict[str, torch.Tensor]) -> "Transitions":
        """A table of the shapes of saved `starts`, `targets` and `weights`, to load a state into."""
        starts, targets, weights = (torch.empty_like(tensors[name]) for name in ("starts", "targets", "weights"))
        return cls(starts, targets, weights, history_decay=0.0, window=0)

    @classmethod
    def count(
        cls, items: np.ndarray, offsets: np.ndarray, num_items: int, *, window: int, history_decay: float
    ) -> "Transitions":
        """From the training sequences items[offsets[i]:offsets[i + 1]]: an edge adds up 1 / distance wherever its items
        follow each other within `window` places.
        """
        keys, weights = [], []
        sequence = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        for pair_weight, before, after in weighted_pairs(items, sequence, window):
            differ = before != after
            keys.append(before[differ].astype(np.int64) * num_items + after[differ])
            weights.append(np.full(int(differ.sum()), pair_weight))
        key, place = np.unique(np.concatenate(keys), return_inverse=True)
        weight = np.bincount(place, np.concatenate(weights), minlength=len(key))
        source = key // num_items
        order = np.lexsort((-weight, source))  # the strongest of a source first
        first = np.searchsorted(source, source)
        kept = np.sort(order[np.arange(len(key)) - first < MAX_TARGETS])
        starts = np.searchsorted(source[kept], np.arange(num_items + 1))
        return cls(
            torch.from_numpy(starts),
            torch.from_numpy(key[kept] % num_items),
            torch.from_numpy(weight[kept].astype(np.float32)),
            history_decay,
            window,
        )

    def mix(
        self,
        item_log_probs: torch.Tensor,
        histories: torch.Tensor,
        share: float,
        following: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """log q, float32[B, N], from the dense head's (normalised, differentiable) and `histories` int64[B, H], newest
        item first, padded with -1. A row whose history was followed by nothing in training stays as it is.
        `following` as in `scores`.
        """
        every = torch.arange(item_log_probs.shape[1], device=histories.device).expand_as(item_log_probs)
        return self.mix_chosen(item_log_probs, every, histories, share, following)

    def mix_chosen(
        self,
        log_probs: torch.Tensor,
        items: torch.Tensor,
        histories: torch.Tensor,
        share: float,
        following: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """`mix` for some items of every row, int64[B, G], from their log-probabilities float32[B, G] alone."""
        table = self.scores(histories, following).to(log_probs.dtype)
        mass = table.sum(1, keepdim=True)
        share_of, tiny = torch.where(mass > 0, share, 0.0), torch.finfo(table.dtype).tiny
        mixed = (1 - share_of) * log_probs.exp() + share_of * table.gather(1, items) / mass.clamp_min(tiny)
        return mixed.clamp_min(tiny).log()

    def scores(self, histories: torch.Tensor, following: torch.Tensor | None = None) -> torch.Tensor:
        """Weight of the transitions from `histories` to every item, float32[B, N]. `histories` int64[B, H] are newest item
        first, padded with -1 (anywhere: a place is an age).

        `following` int64[B, F], padded with -1, are the items that came next in the training sequence a history was
        cut from. The steps to them are taken out, as if the table had been counted when the history ended: with the
        answer in the table, a training prompt would be far easier than a customer's.
        """
        table = torch.zeros(len(histories), len(self.starts) - 1, device=histories.device)
        rows, targets, values = self._steps(histories)
        table.view(-1).index_add_(0, rows * table.shape[1] + targets, values.to(table.dtype))
        if following is not None:
            self._take_out(table, histories, following)
        return table

    def mixture(
        self, histories: torch.Tensor, share: float, following: torch.Tensor | None, held_entries: int
    ) -> Mixture:
        """What `mix` adds to a distribution, without a number for every item; at most about `held_entries` numbers are held at
        a time. Arguments as of `mix`.
        """
        num_rows, num_items = len(histories), len(self.starts) - 1
        if following is None:
            rows, targets, values = self._steps(histories)
            keys, place = (rows * num_items + targets).unique(return_inverse=True)
            values = torch.zeros(len(keys), device=keys.device).index_add_(0, place, values.to(torch.float32))
            rows, items = keys // num_items, keys % num_items
        else:
            parts, size = [], max(1, held_entries // num_items)
            for start in range(0, num_rows, size):
                block = slice(start, start + size)
                table = self.scores(histories[block], following[block])
                row, item = table.nonzero(as_tuple=True)
                parts.append((row + start, item, table[row, item]))
            rows, items, values = (torch.cat(part) for part in zip(*parts, strict=True))
        mass = torch.zeros(num_rows, device=values.device).index_add_(0, rows, values)
        return Mixture(torch.where(mass > 0, share, 0.0), rows, items, values / mass[rows])

    def _steps(self, histories: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Transitions from the items of `histories` int64[B, H]: rows and targets, int64[E] each, and weights [E]."""
        rows, columns = (histories >= 0).nonzero(as_tuple=True)
        source = histories[rows, columns]
        counts = self.starts[source + 1] - self.starts[source]
        shift = torch.arange(int(counts.sum()), device=counts.device) - (counts.cumsum(0) - counts).repeat_interleave(
            counts
        )
        edge = self.starts[source].repeat_interleave(counts) + shift
        values = self.weights[edge] * (self.history_decay**columns).repeat_interleave(counts)
        return rows.repeat_interleave(counts), self.targets[edge], values

    def _take_out(self, table: torch.Tensor, histories: torch.Tensor, following: torch.Tensor) -> None:
        """Subtract from `table` float32[B, N] what the steps to `following` items added to a history's transitions:
        those that start in the history, and, where items repeat, those that start after it at an item it holds.
        """
        window = int(self.window)
        ages = self.history_decay ** torch.arange(histories.shape[1], device=histories.device)
        near = histories[:, :window].flip(1)
        sequence = torch.cat([near, following], dim=1)  # oldest first
        for later in range(following.shape[1]):
            item = following[:, later]
            for distance in range(1, min(window, near.shape[1] + later) + 1):
                source = sequence[:, near.shape[1] + later - distance]
                rows = ((source >= 0) & (item >= 0) & (source != item)).nonzero().squeeze(1)
                # The edge was counted once and joins once for every time that its source is in the history.
                joined = ((histories[rows] == source[rows, None]) * ages).sum(1)
                place = (rows, item[rows])
                before = table[place]
                left = before - joined / distance
                # A remainder of rounding alone must not become the whole distribution when it is scaled to 1.
                table[place] = torch.where(left > 1e-5 * before, left, 0.0)
