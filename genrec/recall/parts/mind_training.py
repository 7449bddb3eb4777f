"""Training and scoring of MIND (settings: `genrec.recall.mind`, network: `genrec.recall.parts.mind_network`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from genrec.recall.parts.channel import Channel
from genrec.recall.parts.epochs import EpochSettings, checked, train_epochs
from genrec.recall.parts.index_files import State
from genrec.recall.parts.mind_network import Mind
from genrec.recall.parts.scorer import History, Training, flatten, positions, rank_unknown_last
from genrec.recall.parts.validation import sample


class Settings(EpochSettings, Protocol):
    """The settings that training reads, of `genrec.recall.mind.Config`."""

    @property
    def attention_power(self) -> float: ...


class TrainedMind(Channel):
    """Scorer by the nearest interest; items without training events rank last. The model is in evaluation mode."""

    known: NDArray[np.bool_]

    def __init__(self, model: Mind, known: NDArray[np.bool_]) -> None:
        self.model, self.known = model, known
        self.num_items = len(known)

    @torch.no_grad()
    def scores(self, histories: Sequence[History]) -> NDArray[np.float32]:
        """float32 [b, num_items]: largest product with an interest; an empty history scores zeros."""
        _, items = flatten(histories, self.num_items)
        ends = np.cumsum([len(h) for h in histories], dtype=np.int64)
        out = np.zeros((len(histories), self.num_items), dtype=np.float32)
        filled = np.flatnonzero([len(h) > 0 for h in histories])
        if len(filled):
            lengths = np.diff(ends, prepend=0)
            read, real = newest_first(items, ends[filled], lengths[filled], self.model.max_history)
            out[filled] = self.model.item_scores(*self.model(read, real)).numpy()
        return rank_unknown_last(out, self.known)

    def state(self) -> State:
        """The weights, and what shapes the network."""
        arrays = {f"model.{name}": value.numpy() for name, value in self.model.state_dict().items()}
        return arrays | {"known": self.known}, {"routing_rounds": self.model.routing_rounds}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> "TrainedMind":
        """The channel that has this state."""
        weights = {n.removeprefix("model."): torch.from_numpy(a) for n, a in arrays.items() if n.startswith("model.")}
        (num_items, dim), (interests, max_history) = weights["items.weight"].shape, weights["logits"].shape
        rounds = int(settings["routing_rounds"])
        model = Mind(
            num_items, dim=dim, interests=interests, routing_rounds=rounds, max_history=max_history, dropout=0.0
        )
        model.load_state_dict(weights)
        return cls(model.eval(), arrays["known"])


def newest_first(
    items: NDArray[np.int64], ends: NDArray[np.int64], lengths: NDArray[np.int64], most: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The last `most` of the items before each end: (int64 [b, M], newest first, 0 at padding; bool [b, M] not padding).

    `items` are sequences one after another, `lengths` how many items before an end belong to its history.
    """
    age = np.arange(min(most, int(lengths.max())))
    real = age < lengths[:, None]
    places = np.where(real, ends[:, None] - 1 - age, 0)
    return torch.from_numpy(np.where(real, items[places], 0)), torch.from_numpy(real)


def train(channel: TrainedMind, data: Training, options: Settings) -> None:
    """Train `channel.model` in place, with early stopping on `data.validation`; the best epoch's weights are kept.

    Every event of a training sequence but its first is a target once an epoch, with the events before it as history.
    Raises TrainingError when the loss is not finite.
    """
    model = channel.model
    rows, items = flatten(data.sequences, data.num_items)
    position, _ = positions(rows, len(data.sequences))
    places = np.flatnonzero(position > 0)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate)
    rng = np.random.default_rng(data.seed)

    def run(epoch: int) -> None:
        for batch in np.array_split(rng.permutation(places), max(1, len(places) // options.batch_size)):
            read, real = newest_first(items, batch, position[batch], model.max_history)
            targets = torch.from_numpy(items[batch])
            interests, used = model(read, real)
            users = model.user_vectors(interests, used, targets, options.attention_power)
            loss = checked(F.cross_entropy(users @ model.items.weight.T, targets), f"mind, epoch {epoch + 1}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        data.progress(epoch + 1, options.epochs, f"mind, epoch {epoch + 1}", loss=loss.item())

    train_epochs(channel, model, sample(data.validation, options.max_valid_users), options, run)
