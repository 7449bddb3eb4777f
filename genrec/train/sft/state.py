"""What a state of fine-tuning has beside that of any training run."""

from dataclasses import dataclass, field

import torch

from genrec.train.state import State


@dataclass
class SftState(State):
    """`batch` optimizer steps of epoch `epoch` (0-based) are done."""

    epoch: int = 0
    batch: int = 0
    window_losses: torch.Tensor = field(default_factory=lambda: torch.empty(0))  # float32[W], this epoch's first pass
