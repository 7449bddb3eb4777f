"""Training and scoring of SASRec (settings: `genrec.recall.sasrec`, network: `genrec.recall.parts.sasrec_network`)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from genrec.recall.parts.channel import Channel
from genrec.recall.parts.epochs import EpochSettings, checked, train_epochs
from genrec.recall.parts.index_files import State
from genrec.recall.parts.sasrec_network import SasRec
from genrec.recall.parts.scorer import History, Training, flatten, rank_unknown_last
from genrec.recall.parts.validation import sample
from genrec.train.sft import touched_rows
from genrec.train.sft.windows import Windows

_POOL = 32  # batches whose windows are sorted by length together: little padding, and batches stay random
_BATCH_USERS = 512  # histories scored in one forward
_EPOCH_WINDOWS = 1 << 16  # of an epoch, at most
_ROWS_ABOVE = 50_000  # items from which on an update with negatives moves the embeddings that it read alone


class Settings(EpochSettings, Protocol):
    """The settings that training reads, of `genrec.recall.sasrec.Config`."""

    @property
    def weight_decay(self) -> float: ...
    @property
    def negatives(self) -> int: ...
    @property
    def reverse_share(self) -> float: ...


class TrainedSasRec(Channel):
    """Scorer by the last hidden state against all item vectors.

    Args:
        model: the network; `scores` needs it in evaluation mode, as `train` leaves it.
        known: bool [num_items], items with a trained vector; the others rank last.
        max_history: most recent items that are read.
    """

    known: NDArray[np.bool_]

    def __init__(self, model: SasRec, known: NDArray[np.bool_], max_history: int) -> None:
        self.model, self.known, self.max_history = model, known, max_history
        self.num_items = len(known)
        self._vectors: torch.Tensor | None = None  # of all items, while the weights stay as they are

    @torch.no_grad()
    def keep_vectors(self, kept: bool = True) -> None:
        """The weights stay as they are until this is called with False."""
        self._vectors = self.model.item_vectors() if kept else None

    @torch.no_grad()
    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: logits. Without text, items nobody had rank last; an empty history scores zeros."""
        out = np.zeros((len(histories), self.num_items), dtype=np.float32)
        vectors = self.model.item_vectors() if self._vectors is None else self._vectors
        windows = latest_windows(histories, self.num_items, self.max_history)
        filled = np.flatnonzero(windows.lengths)
        for start in range(0, len(filled), _BATCH_USERS):
            rows = filled[start : start + _BATCH_USERS]
            items = torch.from_numpy(windows.gather(rows)[0]).to(vectors.device)
            last = torch.from_numpy(windows.lengths[rows] - 1).to(vectors.device)
            hidden = self.model(items, vectors)[torch.arange(len(rows), device=vectors.device), last]
            out[rows] = (hidden @ vectors.T).float().cpu().numpy()
        return rank_unknown_last(out, self.known)

    def state(self) -> State:
        """The weights, the texts they project, and the sizes of the network."""
        model = self.model
        arrays = {f"model.{name}": value.cpu().numpy() for name, value in model.state_dict().items()}
        if model.project is not None:
            arrays["text"] = model.text.cpu().numpy()
        layer = model.blocks.layers[0]
        sizes = {"num_layers": len(model.blocks.layers), "num_heads": layer.self_attn.num_heads}
        return arrays | {"known": self.known}, {**sizes, "max_history": self.max_history}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "TrainedSasRec":
        """The channel that has this state, on the CPU."""
        weights = {n.removeprefix("model."): torch.from_numpy(a) for n, a in arrays.items() if n.startswith("model.")}
        num_items, hidden_size = weights["ids.weight"].shape
        model = SasRec(
            num_items,
            torch.from_numpy(arrays["text"]) if "text" in arrays else None,
            hidden_size=hidden_size,
            num_layers=settings["num_layers"],
            num_heads=settings["num_heads"],
            max_history=settings["max_history"],
            dropout=0.0,
        )
        model.load_state_dict(weights)
        scorer = cls(model.eval(), arrays["known"], settings["max_history"])
        scorer.keep_vectors()
        return scorer


def train(scorer: TrainedSasRec, data: Training, options: Settings) -> None:
    """Train `scorer.model` in place, with early stopping on `data.validation`; the best epoch's weights are kept.

    Without validation rows all epochs are trained and the last weights stay. Raises TrainingError when the loss is not
    finite.
    """
    model = scorer.model
    windows = training_windows(data.sequences, data.num_items, scorer.max_history + 1)
    by_rows = bool(options.negatives) and data.num_items > _ROWS_ABOVE and model.ids.weight.device.type == "cpu"
    model.ids.sparse = by_rows
    kind = touched_rows.RowAdamW if by_rows else torch.optim.AdamW
    optimizer = kind(parameter_groups(model, options.weight_decay), lr=options.learning_rate)
    clip = touched_rows.clip if by_rows else torch.nn.utils.clip_grad_norm_
    num_batches = -(-min(len(windows), _EPOCH_WINDOWS) // options.batch_size)
    total, done = num_batches * options.epochs, 0
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
    )
    rng = np.random.default_rng(data.seed)
    orders = _orders(len(windows), rng)

    def run(epoch: int) -> None:
        nonlocal done
        scorer.keep_vectors(False)
        for items, real in batches(windows, next(orders), options.batch_size, options.reverse_share, rng):
            negatives = rng.integers(scorer.num_items, size=options.negatives) if options.negatives else None
            where = f"sasrec, epoch {epoch + 1}"
            loss = checked(next_item_loss(model, items, real, negatives), f"{where}, step {done}")
            optimizer.zero_grad()
            loss.backward()
            clip(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            done += 1
            if done % 20 == 0:
                data.progress(done, total, where, loss=loss.item())
        scorer.keep_vectors()

    def judged(epoch: int, figure: float) -> None:
        data.progress(done, total, f"sasrec, epoch {epoch + 1}", **{"valid_ndcg@10": figure})

    train_epochs(scorer, model, sample(data.validation, options.max_valid_users), options, run, judged)
    scorer.keep_vectors()


def next_item_loss(
    model: SasRec,
    items: NDArray[np.int64],
    real: NDArray[np.bool_],
    negatives: NDArray[np.int64] | None = None,
) -> torch.Tensor:
    """Mean cross-entropy, in nats, at every item but the first of each window.

    `items` int64 [b, n], padded on the right; `real` bool [b, n] is False at padding. The classes are the whole catalogue
    or, with `negatives` int64 [m], an item's own target and those: an item drawn twice counts twice, and the target as a
    negative not at all.
    """
    device = model.ids.weight.device
    rows, inside = torch.from_numpy(items).to(device), torch.from_numpy(real[:, 1:]).to(device)
    if negatives is None:
        vectors = model.item_vectors()
        hidden = model(rows[:, :-1], vectors)
        return F.cross_entropy(hidden[inside] @ vectors.T, rows[:, 1:][inside])
    used, place = torch.unique(torch.cat([rows.flatten(), torch.from_numpy(negatives).to(device)]), return_inverse=True)
    vectors = model.item_vectors(used)
    rows, drawn = place[: rows.numel()].view_as(rows), place[rows.numel() :]
    hidden, targets = model(rows[:, :-1], vectors)[inside], rows[:, 1:][inside]
    others = (hidden @ vectors[drawn].T).masked_fill(targets[:, None] == drawn, -torch.inf)
    logits = torch.cat([(hidden * vectors[targets]).sum(dim=1, keepdim=True), others], dim=1)
    return F.cross_entropy(logits, torch.zeros_like(targets))


def latest_windows(histories: Sequence[History], num_items: int, most: int) -> Windows:
    """One window a history: its last `most` items."""
    rows, items = flatten(histories, num_items)
    lengths = np.bincount(rows, minlength=len(histories))
    end = np.cumsum(lengths)
    start = end - np.minimum(lengths, most)
    return Windows(items, start, end, start)


def training_windows(sequences: Sequence[History], num_items: int, width: int) -> Windows:
    """Windows of at most `width` items from the end backwards; neighbours share an item, so no transition is lost.

    Not `make_windows` of fine-tuning: its windows overlap by half a history, which trains another model.
    """
    rows, items = flatten(sequences, num_items)
    lengths = np.bincount(rows, minlength=len(sequences))
    end = np.cumsum(lengths)
    count = np.where(lengths > 1, -(-(lengths - 1) // (width - 1)), 0)
    sequence = np.repeat(np.arange(len(lengths)), count)
    index = np.arange(len(sequence)) - np.repeat(np.cumsum(count) - count, count)
    stop = end[sequence] - index * (width - 1)
    start = np.maximum((end - lengths)[sequence], stop - width)
    return Windows(items, start, stop, start)


def _orders(number: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """The windows of each epoch in random order: all, or those whose turn it is."""
    while True:
        order = rng.permutation(number)
        if number <= _EPOCH_WINDOWS:
            yield order
            continue
        for start in range(0, number - _EPOCH_WINDOWS + 1, _EPOCH_WINDOWS):  # what is left over waits for another order
            yield order[start : start + _EPOCH_WINDOWS]


def batches(
    windows: Windows, order: NDArray[np.int64], size: int, reverse_share: float, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """The windows of `order` once, in batches of similar length, a share of them reversed.

    Yields (items int64 [b, n], real bool [b, n]), `real` False at padding.

    Neither fine-tuning's batches nor a library's sampler (transformers' LengthGroupedSampler, torch's BatchSampler):
    each draws other batches from a seed, and the figures of this baseline would change with them.
    """
    reverse = rng.random(len(windows)) < reverse_share
    lengths = windows.lengths
    pools = [order[i : i + size * _POOL] for i in range(0, len(order), size * _POOL)]
    by_length = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    batched = [pool[i : i + size] for pool in by_length for i in range(0, len(pool), size)]
    for number in rng.permutation(len(batched)):
        rows = batched[number]
        yield windows.gather(rows, reverse[rows])


def parameter_groups(model: SasRec, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for the matrices of the blocks and of the projection, none for embeddings, norms and biases."""
    decayed = [p for n, p in model.named_parameters() if p.ndim == 2 and not n.startswith(("ids.", "positions."))]
    ids = {id(p) for p in decayed}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
