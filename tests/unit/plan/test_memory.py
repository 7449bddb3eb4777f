"""The counter beside torch's own, where that can count."""

import pytest
import torch
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker

from genrec.plan.memory import ACTIVATIONS, GRADIENTS, LOGITS, OPTIMIZER, TEMPORARY, TRAINED, Memory

CPU = torch.device("cpu")


def head(hidden: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(hidden * 2, -1)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 32, bias=False))


def step(net: nn.Module, optimizer: torch.optim.Optimizer, data: torch.Tensor) -> None:
    net(data).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_step_takes_what_torchs_tracker_says():
    net, data = model(), torch.randn(128, 16)
    tracker = MemTracker()
    optimizer = torch.optim.AdamW(net.parameters())
    tracker.track_external(net, optimizer)
    with tracker:
        step(net, optimizer, data)
    wanted = tracker.get_tracker_snapshot("peak")[CPU]["Total"]

    net = model()
    optimizer = torch.optim.AdamW(net.parameters())
    counted = Memory({}, "cpu", round_up=False)
    counted.label(TRAINED, net.parameters())
    with counted, counted.training(net.parameters(), optimizer):
        step(net, optimizer, data)
    assert counted.peak_bytes == wanted


def test_kinds_add_up_and_name_what_they_are():
    net, data = model(), torch.randn(128, 16)
    optimizer = torch.optim.AdamW(net.parameters())
    size = sum(p.nbytes for p in net.parameters())
    counted = Memory({head.__code__: LOGITS}, "cpu", round_up=False)
    counted.label(TRAINED, net.parameters())
    with counted, counted.training(net.parameters(), optimizer):
        step(net, optimizer, data)
        assert counted.now[OPTIMIZER] == pytest.approx(2 * size, abs=64)
        assert counted.now[GRADIENTS] == counted.now[ACTIVATIONS] == 0
        counted.start_again()
        loss = -head(net(data)).sum()
        assert counted.now[LOGITS] == 128 * 32 * 4
        loss.backward()
        assert counted.now[GRADIENTS] == size
    assert counted.peak[TRAINED] == size
    assert sum(counted.peak.values()) == counted.peak_bytes
    assert counted.peak[TEMPORARY] > 0


def test_operations_are_those_of_the_products():
    net, data = model(), torch.randn(128, 16)
    with Memory({}, "cpu") as counted:
        net(data).sum().backward()
    forward = 2 * 128 * (16 * 64 + 64 * 32)
    assert counted.operations == forward + 2 * 128 * (16 * 64 + 2 * 64 * 32)  # the input wants no gradient
    counted.start_again()
    with torch.inference_mode(), counted:
        net(data)
    assert counted.operations == forward


def test_a_tensor_that_is_gone_takes_nothing():
    with Memory({}, "cpu", round_up=False) as counted:
        kept = torch.zeros(100)
        view = kept[10:]
        torch.zeros(1000)
        assert sum(counted.now.values()) == 400
        assert counted.peak_bytes == 4400
        del kept
        assert sum(counted.now.values()) == 400  # the view keeps it
        del view
        assert sum(counted.now.values()) == 0
