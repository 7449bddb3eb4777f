"""What the deep rankers read of a candidate: its features as standardised numbers, its user and item as hashed ids."""

import torch
from torch import nn

from genrec.rank.folds import mixed

MAX_DEVIATIONS = 6.0  # standardised values are cut here: channels' scores have long tails
_SMALLEST_SCALE = 1e-6
_USERS, _ITEMS = 101, 202  # salts, apart from those of folds


class Encoder(nn.Module):
    """Features and ids as what a network computes on.

    Numbers are standardised by the mean and deviation of the training rows. A missing one is its mean, with an indicator
    of 1 beside it. A share of the features is hidden in training, so that an indicator is learned for each, whether or not
    the training rows lack any.

    Ids fall into `buckets` by a hash that knows no list of ids (Weinberger et al., ICML 2009, arXiv 0902.2206), so a new
    one needs no retraining; two ids of the same bucket share a vector. A bucket that no training row fell into has the
    vector zero, and a share of the training rows has it too: the network learns what it can say without the id.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    seen: torch.Tensor

    def __init__(self, num_features: int, buckets: int, dim: int, feature_dropout: float, id_dropout: float) -> None:
        super().__init__()
        self.num_features, self.buckets, self.dim = num_features, buckets, dim
        self.feature_dropout, self.id_dropout = feature_dropout, id_dropout
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("scale", torch.ones(num_features))
        self.register_buffer("seen", torch.zeros(2 * buckets, dtype=torch.bool))
        self.ids = nn.Embedding(2 * buckets, dim)  # users, then items
        nn.init.normal_(self.ids.weight, std=0.05)

    @property
    def width(self) -> int:
        """Numbers of a candidate in `flat`."""
        return 2 * self.num_features + 2 * self.dim

    def bucket(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        """Buckets of users and items, int64 [n] each -> int64 [n, 2]."""
        hashed = [mixed(ids.numpy(), salt) % self.buckets for ids, salt in ((user, _USERS), (item, _ITEMS))]
        pair = torch.stack([torch.from_numpy(ids.astype("int64")) for ids in hashed], dim=1)
        return pair + torch.tensor([0, self.buckets])

    def learn(self, features: torch.Tensor, bucket: torch.Tensor) -> None:
        """Take means and deviations from the training rows, float32 [n, F] with nan, and note their buckets."""
        numbers = features.double()
        there = ~torch.isnan(numbers)
        count = there.sum(dim=0).clamp_min(1)
        numbers = torch.where(there, numbers, 0.0)
        mean = numbers.sum(dim=0) / count
        deviation = torch.where(there, (numbers - mean) ** 2, 0.0).sum(dim=0).div(count).sqrt()
        constant = deviation <= _SMALLEST_SCALE * mean.abs().clamp_min(1.0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(constant, 1.0, deviation))
        self.seen[bucket.flatten()] = True

    def forward(self, features: torch.Tensor, bucket: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """float32 [n, F] with nan and int64 [n, 2] -> (values [n, F], missing [n, F], ids [n, 2, dim])."""
        missing = torch.isnan(features)
        if self.training and self.feature_dropout:
            missing = missing | (torch.rand_like(features) < self.feature_dropout)
        values = ((features - self.mean) / self.scale).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        known = self.seen[bucket]
        if self.training and self.id_dropout:
            known = known & (torch.rand(bucket.shape) >= self.id_dropout)
        ids = self.ids(bucket) * known[:, :, None]
        return torch.where(missing, 0.0, values), missing.float(), ids


def flat(values: torch.Tensor, missing: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """All that is known of a candidate side by side, [n, width]."""
    return torch.cat([values, missing, ids.flatten(1)], dim=1)
