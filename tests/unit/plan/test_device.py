import numpy as np
import pytest
import torch
from torch.nn import functional

from genrec.plan.device import absent_gpu
from genrec.plan.kernels import cpu_attention, gpu_attention


def test_the_device_holds_nothing_and_the_host_everything():
    with absent_gpu() as device:
        host = torch.arange(6).view(2, 3)
        there = host.to(device) * 2
        assert host.sum().item() == 15
        assert (there.device, there.shape, there.dtype) == (device, host.shape, host.dtype)
        assert torch.empty(10**6, 10**6, device=device).nbytes == 4 * 10**12
        assert np.array_equal(there.cpu().numpy(), np.zeros((2, 3), np.int64))
        assert there.tolist() == [[0, 0, 0], [0, 0, 0]]
        assert (bool((there > 100).any()), int(there.sum()), float(there.double().sum())) == (True, 1, 1.0)
        assert len((there[0] > 1).nonzero()) == 3
    assert torch.arange(3).sum().item() == 3


def test_a_backward_pass_and_autocast_work_as_on_a_gpu():
    with absent_gpu() as device:
        weight = torch.randn(8, 4, device=device, requires_grad=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            product = torch.randn(3, 8, device=device) @ weight
        assert product.dtype == torch.bfloat16
        product.float().sum().backward()
        assert weight.grad.shape == weight.shape
        assert weight.grad.device == device


def test_an_update_that_the_device_checks_itself_is_read_from_pinned_memory():
    with absent_gpu() as device:
        weight = torch.nn.Parameter(torch.randn(8, 4, device=device))
        optimizer = torch.optim.AdamW([weight], fused=True)
        weight.grad = torch.ones_like(weight)
        optimizer.found_inf = torch.zeros((), device=device)
        optimizer.step()
        host = torch.empty(3, pin_memory=True)
        host.copy_(torch.ones(3, device=device), non_blocking=True)
        torch.cuda.Event().record()
    assert host.tolist() == [0.0] * 3


@pytest.mark.parametrize("masked", [False, True])
def test_attention_of_a_cpu_is_torchs_own(masked):
    query, key, value = torch.randn(3, 2, 4, 7, 8)
    mask = torch.rand(2, 1, 7, 7) < 0.7
    mask |= torch.eye(7, dtype=torch.bool)
    given = {"attn_mask": mask} if masked else {"is_causal": True}
    wanted = functional.scaled_dot_product_attention(query, key, value, **given)
    torch.testing.assert_close(cpu_attention(query, key, value, **given), wanted)


@pytest.mark.parametrize(
    ("dtype", "masked", "keys", "kernel"),
    [
        (torch.bfloat16, False, 2, "_scaled_dot_product_flash_attention"),
        (torch.bfloat16, True, 4, "_scaled_dot_product_efficient_attention"),
        (torch.float32, False, 4, "_scaled_dot_product_efficient_attention"),
        (torch.float32, False, 2, "_scaled_dot_product_attention_math"),
    ],
)
def test_a_gpu_takes_flash_attention_in_half_precision_without_a_mask(dtype, masked, keys, kernel):
    called = []

    class Names(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            called.append(func.overloadpacket.__name__ if hasattr(func, "overloadpacket") else str(func))
            return func(*args, **(kwargs or {}))

    with absent_gpu() as device:
        query = torch.randn(2, 4, 7, 8, device=device, dtype=dtype)
        key, value = torch.randn(2, 2, keys, 7, 8, device=device, dtype=dtype)
        mask = torch.ones(2, 1, 7, 7, dtype=torch.bool, device=device) if masked else None
        with Names():
            found = gpu_attention(query, key, value, mask, is_causal=not masked, enable_gqa=keys < 4)
    assert found.shape == query.shape
    assert any(kernel in name for name in called) or (kernel.endswith("math") and any("bmm" in n for n in called))
