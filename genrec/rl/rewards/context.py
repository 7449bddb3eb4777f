"""What a reward may know beside the candidates and the target."""

from typing import NamedTuple

import torch


class RewardContext(NamedTuple):
    """Facts about the catalogue, the same for every batch. N items, L levels. All tensors are on one device.

    Nothing in it comes from validation or test interactions.
    """

    sids: torch.Tensor  # int64[N, L], row i is the semantic id of item i
    train_counts: torch.Tensor  # int64[N], training events with the item
