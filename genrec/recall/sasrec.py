"""SASRec with item and text embeddings: the trained sequence model that a generative recommender has to beat.

Kang and McAuley, "Self-attentive sequential recommendation" (ICDM 2018), in the form that makes it strong: softmax
cross-entropy over the whole catalogue instead of sampled negatives (Klenitskiy and Vasilev, "Turning dross into gold
loss", RecSys 2023), and an item's text vector, projected, added to the embedding of its id. Trained with early stopping
on validation NDCG@10; the epoch that validation chose is the one that ranks.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genrec.recall.scorer import Silence, Training, flatten
from genrec.variants import setting

if TYPE_CHECKING:
    from genrec.recall.sasrec_training import TrainedSasRec


@dataclass(frozen=True)
class Config:
    """SASRec."""

    hidden_size: int = setting(64, "Width of the model.", ge=2)
    num_layers: int = setting(2, "Transformer blocks.", ge=1)
    num_heads: int = setting(2, "Attention heads; they divide hidden_size.", ge=1)
    max_history: int = setting(20, "Most recent items that are read.", ge=1)
    text: bool = setting(True, "Add the projected text vector (embed stage) to the embedding of the id.")
    dropout: float = setting(0.4, "Dropout on embeddings, attention and residual branches.", ge=0, lt=1)
    reverse_share: float = setting(
        0.3, "Share of the training sequences read newest item first (a new draw each epoch).", ge=0, le=1
    )
    epochs: int = setting(20, "Passes over the users, at most.", ge=1)
    patience: int = setting(4, "Epochs without a better validation NDCG@10 before stopping.", ge=1)
    learning_rate: float = setting(2e-3, "Peak learning rate of AdamW, with a cosine to a tenth of it.", gt=0)
    weight_decay: float = setting(0.05, "AdamW weight decay (matrices of the blocks only).", ge=0)
    batch_size: int = setting(128, "Sequences behind one update.", ge=1)
    max_valid_users: int = setting(4000, "Validation users ranked after an epoch (a fixed random sample).", ge=1)


def fit(data: Training, options: Config) -> "TrainedSasRec | Silence":
    """Train on the training sequences. Raises DataError where text is wanted and there are no vectors."""
    flatten(data.sequences, data.num_items)  # checks the items
    if not any(len(sequence) > 1 for sequence in data.sequences):
        return Silence(data.num_items)
    from genrec.recall.sasrec_training import train

    return train(data, options)
