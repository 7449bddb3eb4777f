"""Micro-batches of an update: what the learner's forwards read, and what the reference says of it."""

from typing import NamedTuple

import torch

from genrec.search.layout import PromptBatch


class Frozen(NamedTuple):
    """What the reference says of a micro-batch."""

    log_probs: torch.Tensor  # float32[b, g, L]
    teacher: torch.Tensor | None  # float32[b, G], of the algorithm's teacher, where it has one

    def halves(self) -> list["Frozen"]:
        teachers = [None] * len(self.log_probs) if self.teacher is None else halves(self.teacher)
        return [Frozen(*pair) for pair in zip(halves(self.log_probs), teachers, strict=False)]


class Batch(NamedTuple):
    """A micro-batch of kept groups, on the policy's device. b prompts; g = G, or G + 1 when the target is appended."""

    prompts: PromptBatch
    sids: torch.Tensor  # int64[b, g, L]
    rows: torch.Tensor  # int64[b], places of the prompts in the step
    counts: bool  # see `genrec.train.sharding.Turn`

    def halves(self) -> list["Batch"]:
        """The same prompts in two, or in one where there is but one."""
        ids, mask, histories, following, left = self.prompts
        later = [None] * len(ids) if following is None else halves(following)
        prompts = [
            PromptBatch(*fields, padded_left=left)
            for fields in zip(halves(ids), halves(mask), halves(histories), later, strict=False)
        ]
        parts = zip(prompts, halves(self.sids), halves(self.rows), strict=True)
        return [Batch(*fields, self.counts) for fields in parts]


def halves(rows: torch.Tensor) -> list[torch.Tensor]:
    """The first rows and the others; all in one where there is but one."""
    return list(rows.split(max(1, -(-len(rows) // 2))))
