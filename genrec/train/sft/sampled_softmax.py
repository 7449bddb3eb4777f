"""The dense head's loss over a large catalogue: a softmax whose normaliser is estimated from some of the items.

Items are drawn independently from the log-uniform distribution over their ranks by popularity, P(rank) = log((rank + 2) /
(rank + 1)) / log(N + 1), and a repeated draw counts once, so that item i is in the sample with probability
pi_i = 1 - (1 - P_i) ** draws. With s - log(pi) in place of a sampled item's logit s, and the target always there by its own,

    Z^ = exp(s_target) + sum over sampled i other than the target of exp(s_i) / pi_i

is an unbiased estimate of the normaliser (Horvitz & Thompson 1952; the correction is that of sampled softmax, Jean et al.
2015, arXiv 1412.2007, and of Bengio & Senecal 2008). The loss log Z^ - s_target and its gradient are consistent: their error
vanishes as the draws grow, and all pi = 1 gives the softmax itself. What a forward costs depends on the draws, not on N.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from genrec.model.policy import Policy
from genrec.model.precision import in_float32

EXACT_UP_TO = 50_000  # items: a softmax over them costs about as much as the rest of a small model's step
DRAWS = 8192  # above; about 4,800 different ones of a million items


class Sample(NamedTuple):
    """Items that stand for all."""

    items: torch.Tensor  # int64[S], distinct
    log_inclusion: torch.Tensor  # float32[S], log of the probability to be among them


class LogUniform:
    """Draws items of a catalogue by their popularity, from torch's CPU random state (it resumes with the run)."""

    def __init__(self, counts: np.ndarray, draws: int) -> None:
        """`counts` int[N], events of every item; equals keep their order."""
        self.draws = draws
        self._by_rank = torch.from_numpy(np.argsort(-counts, kind="stable"))

    def sample(self, device: torch.device) -> Sample:
        """Items for one forward, on `device`."""
        num_items = len(self._by_rank)
        place = torch.rand(self.draws, dtype=torch.float64) * np.log(num_items + 1)
        rank = (place.exp().long() - 1).clamp_(0, num_items - 1).unique()
        probability = torch.log1p(1 / (rank + 1).double()) / np.log(num_items + 1)
        inclusion = -torch.expm1(self.draws * torch.log1p(-probability))
        found = self._by_rank[rank], inclusion.log().float()
        return Sample(*(part.to(device, non_blocking=True) for part in found))


def sampler_for(counts: np.ndarray, draws: int | None) -> LogUniform | None:
    """The sampler of a catalogue with `counts` int[N] events an item; None where the softmax is over all items.

    draws: of a forward; 0: never sample; None: by the size of the catalogue.
    """
    if draws is None:
        draws = DRAWS if len(counts) > EXACT_UP_TO else 0
    return LogUniform(counts, draws) if 0 < draws < len(counts) else None


def sampled_cross_entropy(
    own: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, sample: Sample
) -> torch.Tensor:
    """Estimates, float32[T], of -log softmax at the targets.

    Args:
        own: float32[T], the targets' logits.
        logits: float32[T, S], those of the sampled items.
        targets: int64[T], items.
        sample: the sampled items.
    """
    corrected = logits - sample.log_inclusion
    corrected = corrected.masked_fill(sample.items == targets.unsqueeze(1), -torch.inf)
    first = torch.zeros_like(targets)
    return functional.cross_entropy(torch.cat([own.unsqueeze(1), corrected], dim=1), first, reduction="none")


class DenseLoss:
    """The dense head's loss of a policy, over all items or, with a sampler, estimated from some."""

    def __init__(self, policy: Policy, sampler: LogUniform | None, by_batch: bool = False) -> None:
        """`by_batch`: the forwards of a `batch` share one sample, whose vectors are made once; else each has its own."""
        self._policy, self._sampler = policy, sampler
        self._by_batch = by_batch and sampler is not None
        self._shared: tuple[Sample, torch.Tensor] | None = None

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """A block that holds the forwards and backwards of a batch; at its end the gradient of what they shared is added."""
        if self._sampler is None or not self._by_batch:
            yield
            return
        sample = self._sampler.sample(self._policy.device)
        vectors = self._policy.vectors_of(sample.items)
        shared = vectors.detach().requires_grad_()
        self._shared = sample, shared
        try:
            yield
        finally:
            self._shared = None
        if shared.grad is not None:
            vectors.backward(shared.grad)

    def __call__(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """float32[T] of last states of histories [T, D] and the items that follow, int64[T]."""
        if self._sampler is None:
            return functional.cross_entropy(self._policy.item_logits(hidden), targets, reduction="none")
        if self._shared is not None:
            sample, vectors = self._shared
            with in_float32(hidden.device):
                states = hidden.float()
                own, others = (states * self._policy.vectors_of(targets)).sum(1), states @ vectors.T
            return sampled_cross_entropy(own, others, targets, sample)
        sample = self._sampler.sample(hidden.device)
        return sampled_cross_entropy(*self._policy.some_item_logits(hidden, targets, sample.items), targets, sample)
