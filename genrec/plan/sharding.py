"""What every process holds where several share the training, by arithmetic on what one was measured to hold.

As `genrec.train.fully_shard` divides (ZeRO: Rajbhandari et al. 2020, arXiv 1910.02054). Activations are a process's own: they go
with its micro-batch, which is no larger than its part of a batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from genrec.plan.memory import ACTIVATIONS, GRADIENTS, LOGITS, OPTIMIZER, REFERENCE, TEMPORARY, TRAINED, WEIGHTS

STAGES = ("none", "optimizer", "gradients", "weights")
PROCESSES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Layers:
    """Bytes of the weights that are gathered together: of the largest layer, and of all that lies outside of the layers."""

    largest: int = 0
    outside: int = 0


def per_process(
    kinds: Mapping[str, float], sharding: str, processes: int, layers: Layers, micro_batch: int = 1, batch: int = 0
) -> float:
    """Bytes in each of the processes that share a `batch` (0: of any size) in parts of `micro_batch`.

    From `optimizer` on a process has its rows of the trained weights beside the whole ones, and rows alone of the
    optimizer's states and of the reference. Gradients are whole until they are divided: with `optimizer` all of them, else
    those of a layer. With `weights` two layers are whole, and what lies outside of layers.
    """
    if processes == 1:
        return sum(kinds.values())
    smaller = min(1.0, -(-batch // processes) / micro_batch) if batch else 1.0
    kinds = {k: size * smaller if k in (ACTIVATIONS, LOGITS, TEMPORARY) else size for k, size in kinds.items()}
    if sharding == "none":
        return sum(kinds.values())
    rest = {
        kind: size for kind, size in kinds.items() if kind not in (OPTIMIZER, GRADIENTS, REFERENCE, TRAINED, WEIGHTS)
    }
    rows = (kinds.get(kind, 0) / processes for kind in (OPTIMIZER, REFERENCE, TRAINED, GRADIENTS))
    total = sum(rest.values()) + sum(rows)
    if sharding == "weights":
        return total + kinds.get(WEIGHTS, 0) / processes + 3 * layers.largest + layers.outside
    gradients = kinds.get(GRADIENTS, 0) if sharding == "optimizer" else layers.largest
    return total + kinds.get(WEIGHTS, 0) + kinds.get(TRAINED, 0) + gradients
