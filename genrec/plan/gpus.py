"""GPUs by their memory: what torch finds of it, and how fast they are."""

from dataclasses import dataclass

from genrec.errors import ConfigError

GIB = 2**30
_REACHED = 0.8  # of the datasheet's rate in a large product: an H200 reaches 789 of 989 TFLOP/s (docs/cluster.md)
_CONTEXT = 0.6 * GIB  # of CUDA and its libraries, in every process
_SCATTERED = 1.05  # the allocator holds more than is in use


@dataclass(frozen=True)
class Gpu:
    """`memory_bytes` as torch reports it; rates by the datasheet, dense, in FLOP/s."""

    name: str
    memory_bytes: float
    bf16: float
    fp32: float

    def rate(self, precision: str) -> float:
        """FLOP/s of a large matrix product."""
        return _REACHED * (self.bf16 if precision == "bf16" else self.fp32)


GPUS = {
    24: Gpu("L4", 22.0 * GIB, 121e12, 30.3e12),
    40: Gpu("A100 40 GB", 39.4 * GIB, 312e12, 19.5e12),
    80: Gpu("A100 80 GB", 79.1 * GIB, 312e12, 19.5e12),
    141: Gpu("H200", 139.8 * GIB, 989e12, 67e12),
}


def gpu(size: int) -> Gpu:
    """The GPU of so many gigabytes. Raises ConfigError for one that is not known."""
    if size not in GPUS:
        raise ConfigError(f"--gpu {size}: no GPU of that memory is known; known: {', '.join(map(str, GPUS))} (GB)")
    return GPUS[size]


def needed(*peaks: float) -> float:
    """Bytes of a device that processes with these peaks side by side need, with what comes on top."""
    return sum(peak * _SCATTERED + _CONTEXT for peak in peaks)
