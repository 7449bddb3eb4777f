"""Losses over the candidates of a batch of lists, each weighted by row, in nats."""

import torch
from torch.nn import functional as F


def pointwise(logit: torch.Tensor, label: torch.Tensor, weight: torch.Tensor, gamma: float = 0.0) -> torch.Tensor:
    """Mean log loss of each candidate, [n] each; with gamma > 0 the focal loss.

    Lin et al., "Focal loss for dense object detection" (ICCV 2017, arXiv 1708.02002, section 3.2), without its alpha: a row
    that is right with probability p counts (1 - p) ** gamma.
    """
    loss = F.binary_cross_entropy_with_logits(logit, label, reduction="none")
    if gamma:
        loss = loss * (1 - torch.exp(-loss)) ** gamma  # exp(-loss) is the probability of the true class
    return (loss * weight).sum() / weight.sum().clamp_min(1e-12)


def pairwise(
    logit: torch.Tensor, label: torch.Tensor, weight: torch.Tensor, row_list: torch.Tensor, gamma: float = 0.0
) -> torch.Tensor:
    """Mean logistic loss of the pairs (a positive, a negative of its list); 0 without pairs.

    RankNet (Burges et al., ICML 2005), with one positive BPR (Rendle et al., UAI 2009, arXiv 1205.2618). A pair weighs as
    its positive over the pairs of that positive, so that long lists count no more than short ones; gamma as in
    `pointwise`, for pairs in the right order.
    """
    positive = torch.nonzero(label > 0).squeeze(1)
    pairs = (row_list[:, None] == row_list[positive]) & (label[:, None] <= 0)  # [n, P]
    loss = F.softplus(logit[:, None] - logit[positive])
    if gamma:
        loss = loss * (1 - torch.exp(-loss)) ** gamma
    count = pairs.sum(dim=0)
    of_positive = torch.where(pairs, loss, 0.0).sum(dim=0) / count.clamp_min(1)
    counted = weight[positive] * (count > 0)
    return (of_positive * counted).sum() / counted.sum().clamp_min(1e-12)


def listwise(logit: torch.Tensor, label: torch.Tensor, weight: torch.Tensor, row_list: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of each positive against all candidates of its list; 0 without positives.

    The top-one loss of ListNet (Cao et al., ICML 2007, section 4.3) for lists with one relevant candidate.
    """
    positive = torch.nonzero(label > 0).squeeze(1)
    inside = row_list[:, None] == row_list[positive]
    total = torch.where(inside, logit[:, None], -torch.inf).logsumexp(dim=0)
    return ((total - logit[positive]) * weight[positive]).sum() / weight[positive].sum().clamp_min(1e-12)
