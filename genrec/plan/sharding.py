"""What every process holds where several share the training, by arithmetic on what one was measured to hold.

The stages of ZeRO (Rajbhandari et al. 2020, arXiv 1910.02054), as `sft.sharding` and `rl.sharding` name them: each divides
one kind of tensors more among the processes. Activations are a process's own: they go with its micro-batch.
"""

from collections.abc import Mapping

from genrec.plan.memory import GRADIENTS, OPTIMIZER, REFERENCE, TRAINED, WEIGHTS

DIVIDED = {
    "none": (),
    "optimizer": (OPTIMIZER,),
    "gradients": (OPTIMIZER, GRADIENTS),
    "weights": (OPTIMIZER, GRADIENTS, TRAINED, WEIGHTS, REFERENCE),
}
PROCESSES = (1, 2, 4, 8, 16, 32, 64)


def per_process(kinds: Mapping[str, float], sharding: str, processes: int, largest_layer: float = 0) -> float:
    """Bytes in each of the processes; of divided weights two layers are whole while they are computed with."""
    if processes == 1:
        return sum(kinds.values())
    divided = DIVIDED[sharding]
    total = sum(size / processes if kind in divided else size for kind, size in kinds.items())
    return total + (2 * largest_layer if WEIGHTS in divided else 0)
