"""MIND: several interests a user, so that a list need not be an average of unlike tastes.

Li et al., "Multi-Interest Network with Dynamic Routing for Recommendation at Tmall" (CIKM 2019, arXiv 1904.08030). A
history becomes up to `interests` capsules by behaviour-to-interest dynamic routing (section 3.3): one bilinear map for
all capsules, logits that start at fixed random numbers, and max(1, min(interests, log2(number of items))) capsules for
a history. Training weighs them by label-aware attention (section 3.4) under a softmax over the whole catalogue; a
candidate's score is its largest product with an interest (section 3.6).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genrec.recall.parts.channel import ZeroScorer
from genrec.recall.parts.scorer import Training, flatten
from genrec.variants import setting

if TYPE_CHECKING:
    from genrec.recall.parts.mind_training import TrainedMind


@dataclass(frozen=True)
class Config:
    """MIND."""

    interests: int = setting(4, "Interests of a user, at most.", ge=1)
    dim: int = setting(64, "Dimensions of an item and of an interest.", ge=2)
    routing_rounds: int = setting(3, "Rounds of dynamic routing.", ge=1)
    attention_power: float = setting(
        2.0, "Power of the label-aware attention: 0 weighs interests alike, more picks the nearest.", ge=0
    )
    max_history: int = setting(20, "Most recent items that are read.", ge=1)
    dropout: float = setting(0.2, "Dropout on the items of a history.", ge=0, lt=1)
    epochs: int = setting(12, "Passes over the training events, at most.", ge=1)
    patience: int = setting(2, "Epochs without a better validation NDCG@10 before stopping.", ge=1)
    learning_rate: float = setting(3e-3, "Learning rate of Adam.", gt=0)
    batch_size: int = setting(256, "Events behind one update.", ge=1)
    max_valid_users: int = setting(4000, "Validation users ranked after an epoch (a fixed random sample).", ge=1)


def load(folder: Path) -> "TrainedMind | ZeroScorer":
    """The trained network that was saved there."""
    from genrec.recall.parts.mind_training import TrainedMind

    return TrainedMind.load(folder)


def fit(data: Training, options: Config) -> "TrainedMind | ZeroScorer":
    """Train on the training sequences.

    Raises DataError for an item outside the catalogue, TrainingError when the loss is no longer finite.
    """
    _, items = flatten(data.sequences, data.num_items)
    if not any(len(sequence) > 1 for sequence in data.sequences):
        return ZeroScorer(data.num_items)
    from genrec.recall.parts.mind_network import Mind
    from genrec.recall.parts.mind_training import TrainedMind, train
    from genrec.seeding import seeded

    known = np.bincount(items, minlength=data.num_items) > 0
    with seeded(data.seed):
        model = Mind(
            data.num_items,
            dim=options.dim,
            interests=options.interests,
            routing_rounds=options.routing_rounds,
            max_history=options.max_history,
            dropout=options.dropout,
        )
        channel = TrainedMind(model, known)
        train(channel, data, options)
    return channel
