"""Frozen teachers of on-policy distillation: they judge the student's candidates as whole items.

What the SFT model carries beside its semantic ids can teach them: its dense head, its table of transitions, the mix of
both that a search may use (`genrec.model.transitions`), or the mix of the table with the model's own score (`sft`): better
than either, and no more than a search with the table would be. Head and score are those of the weights training started
from: the caller puts the reference into the policy.

Letters: B prompts, G candidates, D hidden size, N items.
"""

from typing import TYPE_CHECKING, Any

import torch

from genrec import variants
from genrec.errors import ConfigError
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions
from genrec.search.layout import PromptBatch
from genrec.train.rl import algorithms

if TYPE_CHECKING:
    from genrec.config import RlConfig

_UNIFORM = 0.1  # share of a uniform distribution in the table's: most items follow no item of a history, and log 0 teaches nothing


class Teacher:
    """The teacher that the options of an algorithm name: `teacher` sft, dense, transitions or mix, and `transition_share`."""

    def __init__(self, policy: Policy, options: Any) -> None:
        """Raises ConfigError where the SFT model does not have what the teacher needs."""
        self.policy, self.name, self.share = policy, options.teacher, options.transition_share
        if self.name in ("dense", "mix") and policy.dense_weight is None:
            raise ConfigError(
                f"rl.options.teacher is {self.name} but the SFT model has no dense head; set sft.dense_head.loss_weight "
                "above 0, or rl.options.teacher to sft or transitions"
            )
        if self.name != "dense" and self._table is None:
            raise ConfigError(
                f"rl.options.teacher is {self.name} but the SFT model holds no table of transitions; it comes with item "
                "vectors (sft.output: prefixes, sft.view: item_tokens or a dense head) where "
                "sft.dense_head.successor_share is other than 0"
            )

    @property
    def _table(self) -> Transitions | None:
        return None if self.policy.items is None else self.policy.items.transitions

    @property
    def window(self) -> int:
        """Items after a history that the table holds the steps to: they have to travel with a prompt."""
        return 0 if self.name == "dense" or self._table is None else int(self._table.window)

    @torch.no_grad()
    def log_probs(
        self, hidden: torch.Tensor, prompts: PromptBatch, items: torch.Tensor, own: torch.Tensor
    ) -> torch.Tensor:
        """log q(item | history) of candidates int64[B, G] (negative: any), float32[B, G]. `hidden` [B, D] are the last
        states of the prompts, `own` float32[B, G] the policy's scores of the candidates.

        -inf for a whole row about which the teacher has nothing to say: a history that was followed by nothing.
        """
        if self.name == "sft":
            assert self._table is not None
            return self._table.mix_chosen(own, items.clamp_min(0), prompts.histories, self.share, prompts.following)
        return self._all(hidden, prompts).gather(1, items.clamp_min(0))

    def _all(self, hidden: torch.Tensor, prompts: PromptBatch) -> torch.Tensor:
        table = self._table
        if self.name == "dense":
            return self.policy.item_logits(hidden).log_softmax(-1)
        assert table is not None
        if self.name == "mix":
            dense = self.policy.item_logits(hidden).log_softmax(-1)
            return table.mix(dense, prompts.histories, self.share, prompts.following)
        scores = table.scores(prompts.histories, prompts.following)
        mass = scores.sum(1, keepdim=True)
        smooth = (1 - _UNIFORM) * scores / mass.clamp_min(torch.finfo(scores.dtype).tiny) + _UNIFORM / scores.shape[1]
        return torch.where(mass > 0, smooth.log(), -torch.inf)


def build_teacher(policy: Policy, config: "RlConfig") -> Teacher | None:
    """The teacher of the config's algorithm; None where that needs none. Raises ConfigError as `Teacher` does."""
    module, options = variants.build(algorithms.PACKAGE, config.algorithm, config.options)
    return Teacher(policy, options) if module.NEEDS_TEACHER else None
