"""The generator as a channel: beam search of a trained model, with what it knows of each candidate.

It is no module of `genrec.recall`: that listing is what is fitted on training sequences, and a generator is a model folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.model.policy import Policy
from genrec.progress import Progress, silent
from genrec.recall.parts.scorer import History
from genrec.search.decode import Candidates, StepScores, rank_users
from genrec.search.layout import Siblings
from genrec.search.trie import Trie
from genrec.tables import read_sids

WIDTH = 50  # beams


@dataclass(frozen=True)
class Generated:
    """Lists of a beam search for U histories, best first. W places, L levels."""

    items: NDArray[np.int32]  # [U, W], -1: none
    scores: NDArray[np.float32]  # [U, W], log-probability, -inf: none
    steps: NDArray[np.float32]  # [U, W, L], log-probability of each code behind those before it, NaN: none


class Generator:
    """A trained model over its catalogue.

    Args:
        policy: the model, in evaluation mode.
        sids: int [N, L], semantic ids.
        scores: `policy.step_scores()`, where they are known.
    """

    def __init__(self, policy: Policy, sids: NDArray[np.integer], scores: StepScores | None = None) -> None:
        self.policy, self.sids, self._scores = policy, np.asarray(sids), scores
        self.num_items, self.num_levels = self.sids.shape
        self.trie = Trie.from_sids(self.sids, policy.vocab.num_codes, device=policy.device)

    @classmethod
    def load(cls, model: Path, base: Path | None, sids: Path) -> "Generator":
        """From the artifacts of sft or rl (`base` where it is an adapter) and of the sid stage."""
        return cls(Policy.load(model, base), read_sids(sids))

    def search(
        self,
        histories: Sequence[History],
        width: int = WIDTH,
        banned: Sequence[History] | None = None,
        progress: Progress = silent,
    ) -> Generated:
        """The best `width` items of each history without its `banned` ones; an empty history gets none."""
        shape = (len(histories), width)
        steps = np.full((*shape, self.num_levels), np.nan, dtype=np.float32)
        items, scores = np.full(shape, -1, dtype=np.int32), np.full(shape, -np.inf, dtype=np.float32)
        filled = np.flatnonzero([len(h) > 0 for h in histories])

        def keep(rows: NDArray[np.int64], found: Candidates) -> None:
            listed = (found.items >= 0).unsqueeze(-1).cpu().numpy()
            steps[filled[rows]] = np.where(listed, found.log_probs.cpu().numpy(), np.nan)

        if len(filled):
            left_out = None if banned is None else [np.asarray(banned[row]) for row in filled.tolist()]
            read = [np.asarray(histories[row]) for row in filled.tolist()]
            items[filled], scores[filled] = rank_users(
                self.policy, read, self.sids, self.trie, width,
                banned=left_out, scores=self._scores, on_batch=keep, progress=progress,
            )  # fmt: skip
        return Generated(items, scores, steps)

    def top(
        self, histories: Sequence[History], n: int, banned: Sequence[History] | None = None
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The best n items of each history, as other channels give them."""
        found = self.search(histories, n, banned)
        return found.items, found.scores

    @property
    def has_dense_head(self) -> bool:
        """Whether `dense` knows anything."""
        return self.policy.dense_weight is not None and self.policy.items is not None

    @torch.no_grad()
    def dense(
        self,
        histories: Sequence[History],
        rows: NDArray[np.integer],
        items: NDArray[np.integer],
        batch_size: int = 128,
    ) -> NDArray[np.float32]:
        """float32 [R, L]: the dense head's log-probability of each code of item `items[r]` for history `rows[r]`
        (ascending), whether the search met it or not; their sum is that of the item. NaN without such a head or history.
        """
        found = np.full((len(rows), self.num_levels), np.nan, dtype=np.float32)
        if not self.has_dense_head:
            return found
        lengths = np.fromiter((len(h) for h in histories), dtype=np.int64, count=len(histories))
        starts = np.searchsorted(rows, np.arange(len(histories) + 1))
        asked = np.flatnonzero((lengths > 0) & (np.diff(starts) > 0))
        asked = asked[np.argsort(np.minimum(lengths[asked], self.policy.max_history), kind="stable")]
        with self.policy.inference():
            for start in range(0, len(asked), batch_size):
                self._dense_of(histories, asked[start : start + batch_size], starts, items, found)
        return found

    def _dense_of(
        self,
        histories: Sequence[History],
        users: NDArray[np.int64],
        starts: NDArray[np.int64],
        items: NDArray[np.integer],
        found: NDArray[np.float32],
    ) -> None:
        """Fill the rows of some users, whose rows begin at `starts[user]`."""
        policy = self.policy
        prompts = policy.prompts([np.asarray(histories[user]) for user in users.tolist()], self.sids)
        embeds = policy.prompt_embeds(prompts)
        hidden = Siblings(policy.body, embeds, prompts.attention_mask, prompts.padded_left).last_hidden
        prefixes = policy.dense_prefixes(hidden, prompts)
        place = np.arange(int(np.max(starts[users + 1] - starts[users])))
        inside = place < (starts[users + 1] - starts[users])[:, None]
        at = np.where(inside, starts[users][:, None] + place, 0)
        codes = torch.from_numpy(self.sids[np.where(inside, items[at], 0)].astype(np.int64)).to(policy.device)
        found[at[inside]] = prefixes.path(codes).cpu().numpy()[inside]
