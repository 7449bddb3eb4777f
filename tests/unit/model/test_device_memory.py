"""Free memory of a device: what the allocator would use again counts, what recorded graphs keep does not."""

import torch

from genrec.model.device_memory import free_bytes


def segment(total: int, active: int, device: int = 0, pool: tuple[int, int] = (0, 0)) -> dict:
    return {"total_size": total, "active_size": active, "device": device, "segment_pool_id": pool}


def test_a_cpu_has_no_bound():
    assert free_bytes(torch.device("cpu")) is None


def test_unused_bytes_of_the_allocator_are_free_but_those_of_other_pools_and_devices_are_not(monkeypatch):
    segments = [segment(100, 60), segment(7, 7), segment(1000, 10, pool=(0, 3)), segment(500, 0, device=1)]
    monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: segments)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5, 10_000))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert free_bytes(torch.device("cuda")) == 5 + 40
    assert free_bytes(torch.device("cuda", 1)) == 5 + 500
