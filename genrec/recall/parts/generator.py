"""The generator as a channel: beam search of a trained model, with what it knows of each candidate.

It is no module of `genrec.recall`: that listing is what is fitted on training sequences, and a generator is a model folder.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.model.policy import Policy
from genrec.progress import Progress, silent
from genrec.recall.parts.scorer import History
from genrec.search.decode import Candidates, StepScores, beam_search, rank_users
from genrec.search.layout import PromptBatch, Siblings
from genrec.search.prefixes import PrefixLogProbs
from genrec.search.restriction import Allowed
from genrec.search.trie import Children, Trie
from genrec.tables import read_sids

WIDTH = 50  # beams


class Read(NamedTuple):
    """What the prompts of some histories gave, which a search and the steps of any item start from."""

    rows: NDArray[np.int64]  # [B], which histories
    first: torch.Tensor  # [B, C], log-probability of the first codes of the catalogue's ids, without the dense head
    dense: PrefixLogProbs | None  # the dense head's distribution; None without one


@dataclass(frozen=True)
class Generated:
    """Lists of a beam search for U histories, best first. W places, L levels."""

    items: NDArray[np.int32]  # [U, W], -1: none
    scores: NDArray[np.float32]  # [U, W], log-probability, -inf: none
    steps: NDArray[np.float32]  # [U, W, L], log-probability of each code behind those before it, NaN: none
    reads: tuple[Read, ...] = ()  # of all histories that were searched, where they were kept

    def first(self, number: int) -> "Generated":
        """The first places of every list."""
        return Generated(self.items[:, :number], self.scores[:, :number], self.steps[:, :number], self.reads)


class Generator:
    """A trained model over its catalogue.

    Args:
        policy: the model, in evaluation mode.
        sids: int [N, L], semantic ids.
        scores: `policy.step_scores()`, where they are known.
        trie: of the ids, where there is one; items that are closed in it do not come out.
    """

    def __init__(
        self,
        policy: Policy,
        sids: NDArray[np.integer],
        scores: StepScores | None = None,
        trie: Trie | None = None,
    ) -> None:
        self.policy, self.sids = policy, np.asarray(sids)
        if scores is None:
            with policy.inference():
                scores = policy.step_scores()
        self._scores = scores
        self.num_items, self.num_levels = self.sids.shape
        self.trie = trie or Trie.from_sids(self.sids, policy.vocab.num_codes, device=policy.device)

    @cached_property
    def states(self) -> torch.Tensor:
        """int64 [N, L + 1]: the states of the trie on the way to each item, from the root on."""
        codes = torch.from_numpy(self.sids.astype(np.int64)).to(self.policy.device)
        states = [torch.zeros_like(codes[:, 0])]
        for level in range(self.num_levels):
            states.append(self.trie.advance(level, states[-1], codes[:, level]))
        return torch.stack(states, dim=1)

    def _first_codes(self, number: int) -> Children:
        """The children of the root, of `number` rows."""
        return self.trie.children(0, torch.zeros(number, 1, dtype=torch.int64, device=self.policy.device))

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
        allowed: Sequence[Allowed] | None = None,
        split: Callable[[NDArray[np.int64]], Iterable[slice]] | None = None,
        keep_reads: bool = False,
    ) -> Generated:
        """The best `width` items of each history without its `banned` ones; an empty history gets none.

        `allowed` and `split` as in `genrec.search.decode.rank_users`. keep_reads: `steps` need not read the prompts again
        then; it takes the memory of a score for each history and item.
        """
        shape = (len(histories), width)
        steps = np.full((*shape, self.num_levels), np.nan, dtype=np.float32)
        items, scores = np.full(shape, -1, dtype=np.int32), np.full(shape, -np.inf, dtype=np.float32)
        filled = np.flatnonzero([len(h) > 0 for h in histories])
        kept: list[tuple[torch.Tensor, PrefixLogProbs | None]] = []  # `Read.first` and `Read.dense`
        reads: list[Read] = []

        def keep(rows: NDArray[np.int64], found: Candidates) -> None:
            listed = (found.items >= 0).unsqueeze(-1).cpu().numpy()
            steps[filled[rows]] = np.where(listed, found.log_probs.cpu().numpy(), np.nan)
            if keep_reads:
                reads.append(Read(filled[rows], *kept[len(reads)]))

        def search(
            model: Policy,
            prompts: PromptBatch,
            trie: Trie,
            width: int,
            banned: Sequence[np.ndarray] | None,
            allowed: Sequence[Allowed] | None,
            scores: StepScores,
        ) -> Candidates:
            reading = _Reading(model, scores)
            found = beam_search(reading, prompts, trie, width, banned, allowed, reading)  # type: ignore[arg-type]
            kept.append((reading.first, reading.dense))
            return found

        if len(filled):
            read = [np.asarray(histories[row]) for row in filled.tolist()]
            left_out = None if banned is None else [np.asarray(banned[row]) for row in filled.tolist()]
            only = None if allowed is None else [allowed[row] for row in filled.tolist()]
            items[filled], scores[filled] = rank_users(
                self.policy, read, self.sids, self.trie, width, banned=left_out, allowed=only, scores=self._scores,
                split=split, search=search if keep_reads else beam_search, on_batch=keep, progress=progress,
            )  # fmt: skip
        return Generated(items, scores, steps, tuple(reads))

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
        for read in found.reads:
            asked.take_known(read)
        if not found.reads and len(asked.queries):
            with self.policy.inference():
                for start in range(0, len(asked.queries), batch_size):
                    asked.take_known(self._read(asked.queries[start : start + batch_size], histories))
        return asked.steps, asked.dense

    def _read(self, queries: NDArray[np.int64], histories: Sequence[History]) -> Read:
        policy = self.policy
        prompts = policy.prompts([np.asarray(histories[query]) for query in queries.tolist()], self.sids)
        embeds = policy.prompt_embeds(prompts)
        hidden = Siblings(policy.body, embeds, prompts.attention_mask, prompts.padded_left).last_hidden
        dense = policy.dense_prefixes(hidden, prompts) if policy.dense_weight and policy.items is not None else None
        first = self._scores(0, hidden.unsqueeze(1), hidden, self._first_codes(len(queries)))
        return Read(queries, first.squeeze(1), dense)


class _Reading:
    """A model and its scores, for one search, which keep what the prompts gave."""

    def __init__(self, model: Policy, scores: StepScores) -> None:
        self._model, self._scores = model, scores
        self.only_child_certain = scores.only_child_certain
        self.first = torch.empty(0)
        self.dense: PrefixLogProbs | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def dense_prefixes(self, hidden: torch.Tensor, prompts: PromptBatch) -> PrefixLogProbs:
        self.dense = self._model.dense_prefixes(hidden, prompts)
        return self.dense

    def __call__(self, level: int, hidden: torch.Tensor, first: torch.Tensor, children: Children) -> torch.Tensor:
        found = self._scores(level, hidden, first, children)
        if level == 0:
            self.first = found.squeeze(1)
        return found


class _Asked:
    """Items asked about, `items[r]` for history `rows[r]`, and what is known of them."""

    def __init__(
        self, generator: Generator, histories: Sequence[History], rows: NDArray[np.integer], items: NDArray[np.integer]
    ) -> None:
        self.generator, self.rows, self.items = generator, rows, items
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

    def take_known(self, read: Read) -> None:
        """Of any item: the step of the first code, and those of the dense head where there is one."""
        generator, policy = self.generator, self.generator.policy
        queries, first, dense = read
        if (self.starts[queries + 1] == self.starts[queries]).all():
            return
        rows, items = self._rows(queries)
        states = generator.states[torch.from_numpy(items).to(policy.device)]  # [b, C, L + 1]
        inside = rows >= 0
        at = rows[inside]
        # The first codes are the children of the root, in the order of their states.
        steps = first.gather(1, states[..., 1])
        if dense is not None:
            levels = range(generator.num_levels + 1)
            passed = torch.stack([dense.of_states(level, states[..., level]) for level in levels], dim=-1)
            by_level = passed.diff(dim=-1)
            steps = torch.lerp(steps, by_level[..., 0], policy.dense_weight or 0.0)
            self.dense[at] = by_level.cpu().numpy()[inside]
        self.steps[at, 0] = steps.cpu().numpy()[inside]

    def _rows(self, queries: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows [b, C], -1 behind the last; their items, 0 there)."""
        first, end = self.starts[queries][:, None], self.starts[queries + 1][:, None]
        rows = first + np.arange(int((end - first).max()))
        rows = np.where(rows < end, rows, -1)
        rows = np.where(self.is_known[np.maximum(rows, 0)], rows, -1)
        return rows, np.where(rows < 0, 0, self.items[rows]).astype(np.int64)
