"""Training and scoring of the SASRec baseline (`genrec.recall.sasrec` has its settings)."""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from genrec.errors import ConfigError, DataError, TrainingError
from genrec.recall.sasrec_model import SasRec
from genrec.recall.scorer import Held, History, Training, incidence, rank_unknown_last, unit_rows
from genrec.seeding import seeded

if TYPE_CHECKING:
    from genrec.recall.sasrec import Config

_POOL = 32  # batches whose sequences are sorted by length together: little padding, still random batches
_SCORED_AT_ONCE = 512


class TrainedSasRec:
    """Scorer by the last hidden state against all item vectors."""

    def __init__(self, model: SasRec, known: NDArray[np.bool_], max_history: int) -> None:
        self.model, self.known, self.max_history = model.eval(), known, max_history
        self.num_items = len(known)

    @torch.no_grad()
    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: logits. Without text, items nobody had rank last; an empty history scores zeros."""
        out = np.zeros((len(histories), self.num_items), dtype=np.float32)
        vectors = self.model.item_vectors()
        filled = np.array([i for i, history in enumerate(histories) if len(history)], dtype=np.int64)
        for start in range(0, len(filled), _SCORED_AT_ONCE):
            chosen = filled[start : start + _SCORED_AT_ONCE]
            recent = [np.asarray(histories[i], dtype=np.int64)[-self.max_history :] for i in chosen]
            items, lengths = pad(recent, vectors.device)
            hidden = self.model(items, vectors)[torch.arange(len(items)), lengths - 1]
            out[chosen] = (hidden @ vectors.T).float().cpu().numpy()
        return rank_unknown_last(out, self.known)


def train(data: Training, options: "Config") -> TrainedSasRec:
    """Train with early stopping on `data.validation` (without one: all epochs, the last one kept)."""
    if options.hidden_size % options.num_heads:
        raise ConfigError(
            f"sasrec: num_heads {options.num_heads} must divide hidden_size {options.hidden_size}; try num_heads 1 or 2"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    windows = cut(data.sequences, options.max_history + 1)
    counts = incidence(data.sequences, data.num_items).sum(axis=0)
    known = np.ones(data.num_items, dtype=bool) if options.text else counts > 0
    with seeded(data.seed):
        model = SasRec(
            data.num_items,
            _text(data, device) if options.text else None,
            hidden_size=options.hidden_size,
            num_layers=options.num_layers,
            num_heads=options.num_heads,
            max_history=options.max_history,
            dropout=options.dropout,
        ).to(device)
        held = _sample(data.validation, options.max_valid_users)
        _fit(model, windows, data, options, held, known)
    return TrainedSasRec(model, known, options.max_history)


def _fit(
    model: SasRec, windows: list[NDArray[np.int64]], data: Training, options: "Config", held: Held | None, known: Any
) -> None:
    """Update `model` in place; it ends with the weights of the best epoch."""
    optimizer = torch.optim.AdamW(parameter_groups(model, options.weight_decay), lr=options.learning_rate)
    num_batches = -(-len(windows) // options.batch_size)
    total = num_batches * options.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    )
    rng = np.random.default_rng(data.seed)
    best, best_state, since, done = -1.0, None, 0, 0
    for epoch in range(options.epochs):
        model.train()
        for batch in batches(windows, options.batch_size, options.reverse_share, rng):
            loss = next_item_loss(model, batch)
            if not torch.isfinite(loss):
                raise TrainingError(f"baseline sasrec: non-finite loss at step {done} (epoch {epoch + 1})")
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            if done % 20 == 0:
                data.progress(done, total, f"sasrec, epoch {epoch + 1}", loss=loss.item())
        if held is None:
            continue
        figure = ndcg_at_10(TrainedSasRec(model, known, options.max_history), held)
        data.progress(done, total, f"sasrec, epoch {epoch + 1}", **{"valid_ndcg@10": figure})
        since = 0 if figure > best else since + 1
        if figure > best:
            best, best_state = figure, copy.deepcopy(model.state_dict())
        if since >= options.patience:
            break
    if best_state is not None:
        model.load_state_dict(best_state)


def next_item_loss(model: SasRec, batch: list[NDArray[np.int64]]) -> torch.Tensor:
    """Mean cross-entropy, in nats, over the whole catalogue at every item but the first of each window."""
    vectors = model.item_vectors()
    items, lengths = pad(batch, vectors.device)
    hidden = model(items[:, :-1], vectors)
    real = torch.arange(items.shape[1] - 1, device=items.device) < (lengths - 1)[:, None]
    return F.cross_entropy(hidden[real] @ vectors.T, items[:, 1:][real])


def ndcg_at_10(scorer: TrainedSasRec, held: Held) -> float:
    """Mean NDCG@10 of validation rows, the history's items dropped; of equal scores the others come first."""
    total = 0.0
    for start in range(0, len(held.targets), _SCORED_AT_ONCE):
        histories = held.histories[start : start + _SCORED_AT_ONCE]
        targets = held.targets[start : start + _SCORED_AT_ONCE]
        scores = scorer.scores(histories)
        wanted = scores[np.arange(len(targets)), targets].copy()
        rows = np.repeat(np.arange(len(histories)), [len(h) for h in histories])
        scores[rows, np.concatenate([np.asarray(h, dtype=np.int64) for h in histories])] = -np.inf
        scores[np.arange(len(targets)), targets] = -np.inf  # the target itself is not counted
        ranks = (scores >= wanted[:, None]).sum(axis=1)
        total += float((1 / np.log2(ranks[ranks < 10] + 2)).sum())
    return total / max(len(held.targets), 1)


def cut(sequences: Sequence[History], width: int) -> list[NDArray[np.int64]]:
    """Windows of at most `width` items from the end backwards; neighbours share one item, so no target is lost."""
    windows = []
    for sequence in sequences:
        stop = len(sequence)
        while stop > 1:
            windows.append(np.asarray(sequence[max(0, stop - width) : stop], dtype=np.int64))
            stop -= width - 1
    return windows


def batches(
    windows: list[NDArray[np.int64]], size: int, reverse_share: float, rng: np.random.Generator
) -> Iterator[list[NDArray[np.int64]]]:
    """Every window once in random order, in batches of similar length; a share of them reversed."""
    order = rng.permutation(len(windows))
    reverse = rng.random(len(windows)) < reverse_share
    lengths = np.array([len(w) for w in windows])
    pools = [order[i : i + size * _POOL] for i in range(0, len(order), size * _POOL)]
    made = []
    for pool in pools:
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        made += [by_length[i : i + size] for i in range(0, len(pool), size)]
    for i in rng.permutation(len(made)):
        yield [windows[w][::-1] if reverse[w] else windows[w] for w in made[i]]


def pad(rows: list[NDArray[np.int64]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows as (items int64 [b, longest], padded with 0 on the right; lengths int64 [b])."""
    lengths = np.array([len(row) for row in rows])
    items = np.zeros((len(rows), int(lengths.max())), dtype=np.int64)
    items[np.arange(items.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    return torch.from_numpy(items).to(device), torch.from_numpy(lengths).to(device)


def parameter_groups(model: SasRec, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for the matrices of the blocks and of the projection, none for embeddings, norms and biases."""
    decayed = [p for n, p in model.named_parameters() if p.ndim == 2 and not n.startswith(("ids.", "positions."))]
    ids = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]


def _text(data: Training, device: torch.device) -> torch.Tensor:
    if data.vectors is None or len(data.vectors) != data.num_items:
        raise DataError(
            f"baseline sasrec: needs the vectors of all {data.num_items} items, from the embed stage; or set text: false"
        )
    return torch.from_numpy(unit_rows(data.vectors)).to(device)


def _sample(held: Held | None, most: int) -> Held | None:
    """A fixed random sample of validation rows with a history; None where there is none."""
    if held is None:
        return None
    rows = np.array([i for i, history in enumerate(held.histories) if len(history)], dtype=np.int64)
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    return Held([held.histories[i] for i in rows], held.targets[rows]) if len(rows) else None
