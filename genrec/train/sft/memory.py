"""What fine-tuning does with the memory that it finds: how many windows a forward has, and whether activations are kept."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from genrec.model.policy import Policy
from genrec.model.precision import recompute_activations
from genrec.train.learner_group import LearnerGroup
from genrec.train.micro_batch import Memory, MicroBatch, largest_forward, least

if TYPE_CHECKING:
    from genrec.config import SftConfig

_EFFICIENT = 2048  # positions of a forward; where fewer fit, computing them twice costs less than having so few


def fit_memory(
    policy: Policy,
    config: "SftConfig",
    micro_batch: MicroBatch,
    memory: Memory,
    run: Callable[[int], None],
    width: int,
    reserve: int,
) -> int:
    """How many windows a forward has, where the config leaves that or recomputation (`gradient_checkpointing`) to the memory.

    `run(n)` is a forward and backward of n of the longest windows, of `width` positions each; `reserve` bytes are left alone.
    """
    most = config.batch_size if micro_batch.is_auto else min(micro_batch.size, config.batch_size)
    size = least(largest_forward(run, most, memory, reserve), LearnerGroup(), policy.device)
    if config.gradient_checkpointing == "auto" and size < most and size * width < _EFFICIENT:
        recompute_activations(policy.model, policy.precision)
        size = largest_forward(run, most, memory, reserve)
    return size
