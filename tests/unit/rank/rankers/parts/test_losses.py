import math

import pytest
import torch

from genrec.rank.rankers.parts import losses

LOGIT = torch.tensor([2.0, -1.0, 0.5, 0.0, 1.0])
LABEL = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0])
LIST = torch.tensor([0, 0, 0, 1, 1])
WEIGHT = torch.tensor([3.0, 3.0, 3.0, 1.0, 1.0])


def softplus(x):
    return math.log1p(math.exp(x))


def test_losses_by_hand():
    each = [softplus(-2), softplus(-1), softplus(0.5), softplus(0), softplus(1)]
    expected = (3 * sum(each[:3]) + sum(each[3:])) / 11
    assert losses.pointwise(LOGIT, LABEL, WEIGHT).item() == pytest.approx(expected)
    first, second = (softplus(-1 - 2) + softplus(0.5 - 2)) / 2, softplus(1.0)
    assert losses.pairwise(LOGIT, LABEL, WEIGHT, LIST).item() == pytest.approx((3 * first + second) / 4)
    first = math.log(sum(math.exp(x) for x in (2, -1, 0.5))) - 2
    second = math.log(sum(math.exp(x) for x in (0, 1)))
    assert losses.listwise(LOGIT, LABEL, WEIGHT, LIST).item() == pytest.approx((3 * first + second) / 4)


def test_the_focal_loss_counts_a_row_by_how_wrong_it_is():
    right = 1 / (1 + math.exp(-2))
    single = losses.pointwise(LOGIT[:1], LABEL[:1], WEIGHT[:1], gamma=2.0)
    assert single.item() == pytest.approx((1 - right) ** 2 * -math.log(right), rel=1e-5)
    pair = losses.pairwise(LOGIT[:2], LABEL[:2], WEIGHT[:2], LIST[:2], gamma=1.0)
    right = 1 / (1 + math.exp(-3))
    assert pair.item() == pytest.approx((1 - right) * -math.log(right), rel=1e-5)


@pytest.mark.parametrize("label", [torch.zeros(5), torch.ones(5)])
def test_batches_of_one_class_give_finite_losses_and_gradients(label):
    logit = LOGIT.clone().requires_grad_()
    total = losses.pointwise(logit, label, WEIGHT) + losses.listwise(logit, label, WEIGHT, LIST)
    total = total + losses.pairwise(logit, label, WEIGHT, LIST, gamma=2.0)
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logit.grad).all()
    assert losses.pairwise(LOGIT, label, WEIGHT, LIST).item() == 0
