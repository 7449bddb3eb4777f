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
        self.policy, self.sids = policy, np.asarray(sids)
        if scores is None:
            with policy.inference():
                scores = policy.step_scores()
        self._scores = scores
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

    @torch.no_grad()
    def steps(
        self,
        found: Generated,
        histories: Sequence[History],
        rows: NDArray[np.integer],
        items: NDArray[np.integer],
        batch_size: int = 128,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Log-probabilities of the codes of items `items[r]` for histories `rows[r]` (ascending), both float32 [R, L].

        The first ones are those of the search: what it `found`, and the first code of any item. The second ones are the
        dense head's alone, of any item; their sum is that of the item. NaN: not known, as for an empty history.
        """
        asked = _Asked(self, histories, rows, items)
        asked.take_found(found)
        with self.policy.inference():
            for start in range(0, len(asked.queries), batch_size):
                asked.take_known(asked.queries[start : start + batch_size], self._scores)
        return asked.steps, asked.dense


class _Asked:
    """Items asked about, `items[r]` for history `rows[r]`, and what is known of them."""

    def __init__(
        self, generator: Generator, histories: Sequence[History], rows: NDArray[np.integer], items: NDArray[np.integer]
    ) -> None:
        self.generator, self.histories, self.rows, self.items = generator, histories, rows, items
        self.is_known = items < generator.num_items  # the others came into the catalogue after the model
        self.steps = np.full((len(rows), generator.num_levels), np.nan, dtype=np.float32)
        self.dense = self.steps.copy()
        self.starts = np.searchsorted(rows, np.arange(len(histories) + 1))
        lengths = np.fromiter((len(h) for h in histories), dtype=np.int64, count=len(histories))
        asked = np.flatnonzero((lengths > 0) & (np.diff(self.starts) > 0))
        read = np.minimum(lengths[asked], generator.policy.max_history)
        self.queries = asked[np.argsort(read, kind="stable")]  # like lengths together: little padding

    def take_found(self, found: Generated) -> None:
        """The steps of items that the search found."""
        size = self.generator.num_items
        query, place = np.nonzero(found.items >= 0)
        keys = query * size + found.items[query, place]
        order = np.argsort(keys)
        wanted = np.where(self.is_known, self.rows * size + self.items, -1)
        at = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(order) - 1)] if len(order) else order
        if len(order):
            known = keys[at] == wanted
            self.steps[known] = found.steps[query[at[known]], place[at[known]]]

    def take_known(self, queries: NDArray[np.int64], scores: StepScores) -> None:
        """Of any item: the step of the first code, and those of the dense head where there is one."""
        generator, policy = self.generator, self.generator.policy
        prompts = policy.prompts([np.asarray(self.histories[query]) for query in queries.tolist()], generator.sids)
        embeds = policy.prompt_embeds(prompts)
        hidden = Siblings(policy.body, embeds, prompts.attention_mask, prompts.padded_left).last_hidden
        root = torch.zeros(len(queries), 1, dtype=torch.int64, device=policy.device)
        children = generator.trie.children(0, root)
        first = scores(0, hidden.unsqueeze(1), hidden, children)
        dense = policy.dense_prefixes(hidden, prompts) if policy.dense_weight and policy.items is not None else None
        if dense is not None:
            first = torch.lerp(first, dense.followers(0, root, children.states), policy.dense_weight or 0.0)
        by_code = torch.full((len(queries), policy.vocab.num_codes), torch.nan, device=policy.device)
        open_ = children.allowed[0, 0]  # the same for all, none is banned
        by_code[:, children.codes[0, 0, open_]] = first[:, 0, open_]
        rows, codes = self._codes(queries)
        inside = (rows >= 0).cpu().numpy()
        at = rows.cpu().numpy()[inside]
        self.steps[at, 0] = by_code.gather(1, codes[..., 0]).cpu().numpy()[inside]
        if dense is not None:
            self.dense[at] = dense.path(codes).cpu().numpy()[inside]

    def _codes(self, queries: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """(rows [b, C], -1 behind the last; codes [b, C, L] of their items)."""
        first, end = self.starts[queries][:, None], self.starts[queries + 1][:, None]
        rows = first + np.arange(int((end - first).max()))
        rows = np.where(rows < end, rows, -1)
        rows = np.where(self.is_known[np.maximum(rows, 0)], rows, -1)
        codes = self.generator.sids[np.where(rows < 0, 0, self.items[rows])].astype(np.int64)
        device = self.generator.policy.device
        return torch.from_numpy(rows).to(device), torch.from_numpy(codes).to(device)
