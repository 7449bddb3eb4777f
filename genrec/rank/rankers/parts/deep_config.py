"""Settings that the deep rankers share."""

from dataclasses import dataclass
from typing import Literal

from genrec.variants import setting

Loss = Literal["pointwise", "pairwise", "listwise"]


@dataclass(frozen=True)
class DeepConfig:
    """How a deep ranker reads candidates and is trained."""

    focal_gamma: float = setting(
        0.0, "Exponent of the focal loss (pointwise and pairwise): what is right already counts less; 0: off.", ge=0
    )
    hidden_size: int = setting(64, "Width of the layers.", ge=1)
    buckets: int = setting(16384, "Buckets that the ids of users fall into, and as many for those of items.", ge=1)
    id_dim: int = setting(8, "Width of the vector of an id.", ge=1)
    id_dropout: float = setting(
        0.3, "Share of the ids that are hidden in training, for the sake of new ones.", ge=0, lt=1
    )
    feature_dropout: float = setting(
        0.02, "Share of the features that are hidden in training, for the sake of missing ones.", ge=0, lt=1
    )
    dropout: float = setting(0.1, "Dropout behind each layer.", ge=0, lt=1)
    epochs: int = setting(2, "Passes over the lists, at most; ids are learned by heart in more.", ge=1)
    patience: int = setting(
        2, "Passes without a better NDCG@10 before stopping, where rank.stopping_share holds users for it.", ge=1
    )
    batch_lists: int = setting(32, "Lists behind one update.", ge=1)
    learning_rate: float = setting(2e-3, "Learning rate of AdamW.", gt=0)
    weight_decay: float = setting(1e-3, "AdamW weight decay (not of ids).", ge=0)


@dataclass(frozen=True)
class LossConfig(DeepConfig):
    """The same with a loss to choose."""

    loss: Literal["pointwise", "pairwise", "listwise"] = setting(
        "listwise", "What a wrong order costs: of each candidate, each pair, or each list."
    )


@dataclass(frozen=True)
class TasksConfig:
    """What several tasks count; a single one is not changed by it."""

    purchase_loss: float = setting(1.0, "Weight of the loss of purchases beside that of clicks.", ge=0)
    purchase_value: float = setting(
        1.0, "In the score, a purchase counts that much beside a click: P(click) + purchase_value P(purchase).", ge=0
    )
