"""The memory that a process can still take of a device."""

import torch

_DEFAULT_POOL = (0, 0)


def free_bytes(device: torch.device) -> int | None:
    """Bytes of a GPU that nobody holds, and those that torch's allocator keeps and would use again; None for a CPU.

    What recorded CUDA graphs keep in pools of their own is theirs, in use or not: no other allocation gets it.
    """
    if device.type != "cuda":
        return None
    index = torch.cuda.current_device() if device.index is None else device.index
    unused = sum(
        segment["total_size"] - segment["active_size"]
        for segment in torch.cuda.memory_snapshot()
        if segment["device"] == index and tuple(segment["segment_pool_id"]) == _DEFAULT_POOL
    )
    return torch.cuda.mem_get_info(device)[0] + unused
