"""One output row a code of a level, the same behind every prefix (TIGER, arXiv 2305.05065)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from genrec.search.trie import Children

if TYPE_CHECKING:  # it imports transformers, which a config check can do without
    from genrec.model.output import OutputModel


@dataclass(frozen=True)
class Config:
    """No settings."""


class Output:
    """Softmax over all codes of a level, whether an item has them behind the prefix or not."""

    needs_items = False
    inner_nodes = False

    def __init__(self, options: Config) -> None:
        pass

    def logits(self, model: "OutputModel", hidden: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return model.level_logits(hidden)

    def step_scores(self, model: "OutputModel") -> "_Rows":
        return _Rows(model)


class _Rows:
    only_child_certain = False  # a code competes with all codes of its level

    def __init__(self, model: "OutputModel") -> None:
        self._model, self._rows = model, model.head_rows()

    def __call__(self, level: int, hidden: torch.Tensor, first: torch.Tensor, children: Children) -> torch.Tensor:
        log_probs = self._model.level_logits(hidden, self._rows[level]).log_softmax(-1)
        return log_probs.gather(2, children.codes.clamp_min(0))
