"""Clocks, memory and profiles of work on a device, and what the device can do at most."""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from tests.bench.gpu_check.models import Shape

GIB = 2**30
_DATASHEET_TFLOPS = {"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312}  # dense bf16, the first that fits
_NUM_KERNELS = 12


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(
    run: Callable[[], Any], device: torch.device, repeats: int, warm_up: Callable[[], Any] | None = None
) -> list[float]:
    """Times of `repeats` runs, after `warm_up`, by default one run more."""
    (warm_up or run)()
    times = []
    for _ in range(repeats):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        times.append(time.perf_counter() - start)
    return times


def measured(
    run: Callable[[], Any], device: torch.device, repeats: int, warm_up: Callable[[], Any] | None = None
) -> dict[str, Any]:
    """Median and range of the seconds of `run`, and the most memory that it had taken."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times = seconds(run, device, repeats, warm_up)
    found: dict[str, Any] = {"seconds": statistics.median(times), "range_s": [min(times), max(times)]}
    if device.type == "cuda":
        found["peak_gib"] = torch.cuda.max_memory_allocated(device) / GIB
    return found


def or_out_of_memory(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `run` returns, or that the device has too little memory for it."""
    try:
        return run()
    except torch.OutOfMemoryError:
        pass
    torch.cuda.empty_cache()
    return {"failed": "out of memory"}


def profiled(
    shape: Shape, name: str, run: Callable[[], Any], device: torch.device, report: Callable[[dict[str, Any]], None]
) -> None:
    """Report the `kernels` of `run`, where profiles are asked for."""
    if shape.profiles:
        report({"case": f"profile, {name}", "profile": kernels(run, device)})


def kernels(run: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Where the time of one `run` goes: the share of it in which the device computes, and the longest kernels.

    On the CPU, its operators.
    """
    on_gpu = device.type == "cuda"
    run()
    wait(device)
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as recorded:
        run()
        wait(device)
    wall_ms = 1e3 * (time.perf_counter() - start)
    rows = [
        (row.key, (row.self_device_time_total if on_gpu else row.self_cpu_time_total) / 1e3, row.count)
        for row in recorded.key_averages()
    ]
    rows.sort(key=lambda row: -row[1])
    total = sum(ms for _, ms, _ in rows)
    return {
        "wall_ms": wall_ms,
        "kernels_ms": total,
        "launches": sum(count for *_, count in rows),
        "top": [{"kernel": key[:90], "ms": ms, "calls": count} for key, ms, count in rows[:_NUM_KERNELS]],
    }


def matrix_rate(device: torch.device) -> float:
    """FLOP/s of a large bfloat16 matrix product of random numbers (float32 on the CPU)."""
    on_gpu = device.type == "cuda"
    size, dtype = (8192, torch.bfloat16) if on_gpu else (256, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / statistics.median(seconds(lambda: a @ b, device, 10))


def copy_rate(device: torch.device) -> float:
    """Bytes read and written a second by a copy inside the device's memory."""
    source = torch.empty(2**30 if device.type == "cuda" else 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / statistics.median(seconds(lambda: target.copy_(source), device, 10))


def datasheet_rate(device: torch.device) -> float | None:
    """Dense bfloat16 FLOP/s by the vendor's datasheet; None for a device that is not listed."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((1e12 * rate for part, rate in _DATASHEET_TFLOPS.items() if part in name), None)


def versions(device: torch.device) -> dict[str, Any]:
    """Device, driver and versions of what computes."""
    import importlib.metadata

    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    packages = ("torch", "triton", "transformers", "peft", "numpy", "pyarrow", "bitsandbytes")
    found = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"device": properties.name, "memory_gib": properties.total_memory / GIB, "cuda": torch.version.cuda}
    else:
        found |= {"device": f"CPU ({platform.machine()})", "memory_gib": None, "cuda": torch.version.cuda}
    return found
