"""SASRec with item and text embeddings: the trained sequence model that a generative recommender has to beat.

Kang and McAuley, "Self-attentive sequential recommendation" (ICDM 2018), with two changes that make it a strong
baseline: softmax cross-entropy instead of binary cross-entropy, over the whole catalogue (Klenitskiy and Vasilev,
"Turning dross into gold loss", RecSys 2023) or over sampled negatives ("eSASRec", arXiv 2508.06450), and an item's
projected text vector added to the embedding of its id. Trained with early stopping on validation NDCG@10; the weights
of the best epoch are kept. Of more than 65,536 training windows an epoch reads that many, the next epoch the next ones, so
that the updates of a fit are bounded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genrec.errors import ConfigError, DataError
from genrec.recall.parts.channel import ZeroScorer
from genrec.recall.parts.scorer import Training, flatten, unit_rows
from genrec.variants import setting

if TYPE_CHECKING:
    from genrec.recall.parts.sasrec_training import TrainedSasRec


@dataclass(frozen=True)
class Config:
    """SASRec."""

    hidden_size: int = setting(64, "Width of the model.", ge=2)
    num_layers: int = setting(2, "Transformer blocks.", ge=1)
    num_heads: int = setting(2, "Attention heads; they divide hidden_size.", ge=1)
    max_history: int = setting(20, "Most recent items that are read.", ge=1)
    text: bool = setting(True, "Add the projected text vector (embed stage) to the embedding of the id.")
    dropout: float = setting(0.4, "Dropout on embeddings, attention and residual branches.", ge=0, lt=1)
    negatives: int = setting(
        0, "Items drawn uniformly for an update, the other classes of its softmax; 0 takes the whole catalogue.", ge=0
    )
    reverse_share: float = setting(
        0.3, "Share of the training sequences read newest item first (a new draw each epoch).", ge=0, le=1
    )
    epochs: int = setting(20, "Passes over the users, at most.", ge=1)
    patience: int = setting(4, "Epochs without a better validation NDCG@10 before stopping.", ge=1)
    learning_rate: float = setting(2e-3, "Peak learning rate of AdamW, with a cosine to a tenth of it.", gt=0)
    weight_decay: float = setting(0.05, "AdamW weight decay (matrices of the blocks only).", ge=0)
    batch_size: int = setting(128, "Sequences behind one update.", ge=1)
    max_valid_users: int = setting(4000, "Validation users ranked after an epoch (a fixed random sample).", ge=1)


CHOICES = {"num_layers": (2, 1), "negatives": (0, 256)}
_LARGE_CATALOGUE, _NEGATIVES_OF_LARGE = 50_000, 2048


def suited(num_items: int) -> dict[str, Any]:
    """Of a large catalogue: negatives, for a softmax over all of 100 thousand items takes 2 s an update; and one fit."""
    return {} if num_items <= _LARGE_CATALOGUE else {"num_layers": 2, "negatives": _NEGATIVES_OF_LARGE}


def fit(data: Training, options: Config) -> "TrainedSasRec | ZeroScorer":
    """Train on the training sequences.

    Raises:
        DataError: text is wanted and there are no vectors, or an item outside the catalogue.
        ConfigError: num_heads does not divide hidden_size.
        TrainingError: the loss is no longer finite.
    """
    _, items = flatten(data.sequences, data.num_items)
    if not any(len(sequence) > 1 for sequence in data.sequences):
        return ZeroScorer(data.num_items)
    if options.hidden_size % options.num_heads:
        raise ConfigError(
            f"sasrec: num_heads {options.num_heads} must divide hidden_size {options.hidden_size}; try num_heads 1 or 2"
        )
    text = _text(data) if options.text else None
    import torch

    from genrec.recall.parts.sasrec_network import SasRec
    from genrec.recall.parts.sasrec_training import TrainedSasRec, train
    from genrec.seeding import seeded

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    known = np.bincount(items, minlength=data.num_items) > 0
    with seeded(data.seed):
        model = SasRec(
            data.num_items,
            None if text is None else torch.from_numpy(text).to(device),
            hidden_size=options.hidden_size,
            num_layers=options.num_layers,
            num_heads=options.num_heads,
            max_history=options.max_history,
            dropout=options.dropout,
        ).to(device)
        scorer = TrainedSasRec(model, np.ones_like(known) if options.text else known, options.max_history)
        train(scorer, data, options)
    return scorer


def load(folder: Path) -> "TrainedSasRec | ZeroScorer":
    """The trained network that was saved there."""
    from genrec.recall.parts.sasrec_training import TrainedSasRec

    return TrainedSasRec.load(folder)


def _text(data: Training) -> np.ndarray:
    """float32 [num_items, V]: unit rows of the text vectors."""
    if data.vectors is None or len(data.vectors) != data.num_items:
        raise DataError(
            f"baseline sasrec: needs the vectors of all {data.num_items} items, from the embed stage; or set text: false"
        )
    return unit_rows(data.vectors)
