import pytest
import torch

from genrec.errors import ConfigError
from genrec.model.precision import compute_dtype, frozen_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize("native", [True, False])
def test_bf16_is_for_devices_that_compute_it_and_refused_elsewhere(monkeypatch, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native, "avx2": True})
    assert compute_dtype("fp32", CPU, "rl.precision") == torch.float32
    if native:
        assert compute_dtype("bf16", CPU, "rl.precision") == torch.bfloat16
        return
    with pytest.raises(ConfigError, match=r"rl\.precision is bf16, but the CPU .* set rl\.precision to fp32"):
        compute_dtype("bf16", CPU, "rl.precision")


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_is_named_where_it_only_emulates_bf16(monkeypatch, native):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native or including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    device = torch.device("cuda", 0)
    if native:
        assert compute_dtype("bf16", device, "evaluate.precision") == torch.bfloat16
        return
    with pytest.raises(ConfigError, match=r"evaluate\.precision is bf16, but Tesla T4 has no bfloat16"):
        compute_dtype("bf16", device, "evaluate.precision")


def test_frozen_weights_are_stored_as_they_are_multiplied_on_a_gpu_and_in_float32_on_a_cpu():
    assert frozen_dtype(torch.bfloat16, torch.device("cuda")) == torch.bfloat16
    assert frozen_dtype(torch.float32, torch.device("cuda")) == torch.float32
    assert frozen_dtype(torch.bfloat16, CPU) == torch.float32
