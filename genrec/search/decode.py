"""Search and sampling under the trie: three forwards for a list of items, on the layout of `genrec.search.layout`.

Scores are sums of log-softmax values over what the model chooses among at a level (`genrec.model.outputs`), taken before
disallowed codes are masked: a score is a property of the item, not of what else was allowed. A dense head (weights of
whole items) takes its share of each step.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from genrec.progress import Progress, silent
from genrec.search.fused import FusedSiblings, fits
from genrec.search.layout import PromptBatch, Siblings
from genrec.search.prefixes import PrefixLogProbs
from genrec.search.restriction import Allowed, Restriction
from genrec.search.trie import Children, Trie

# What follows n prefixes, at most C codes each: (log-probs [B, n, C], allowed [B, n, C], scores [B, n]) -> parents and
# places among the C (int64[B, W]), and dead (bool[B, W])
_Choose = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


class SearchModel(Protocol):
    """What the search needs of a model. B prompts of P positions, L levels of K codes, hidden size D."""

    max_history: int  # items of a history that a prompt holds at most
    search_dtype: torch.dtype  # of the body's matrix products in a search: float32, or bfloat16
    dense_weight: float | None  # the dense head's share of a score, 0..1; None or 0: the semantic ids alone

    @property
    def body(self) -> Any:
        """The transformer without its output head, as `genrec.search.layout` calls it."""

    def inference(self) -> contextlib.AbstractContextManager[None]:
        """Evaluation mode without gradients."""

    def prompts(self, histories: Sequence[np.ndarray | list[int]], sids: np.ndarray) -> PromptBatch:
        """Histories (items, oldest first) as prompts; `sids` int[N, L]."""

    def prompt_embeds(self, prompts: PromptBatch) -> torch.Tensor:
        """The body's input, [B, P, D]."""

    def token_ids(self, codes: torch.Tensor, level: int) -> torch.Tensor:
        """Token ids of codes of one level, of the same shape."""

    def step_scores(self) -> "StepScores":
        """The output of the model with its weights as they are now, ready for any number of searches."""

    def dense_prefixes(self, hidden: torch.Tensor, prompts: PromptBatch) -> PrefixLogProbs:
        """The dense head's distribution over the catalogue, by prefix, from the prompts' last hidden states [B, D]."""


class StepScores(Protocol):
    """Scores the codes that may follow a prefix; a snapshot of weights that training may change later."""

    only_child_certain: bool  # a prefix's children share its probability: where there is one, its log p is 0

    def __call__(self, level: int, hidden: torch.Tensor, first: torch.Tensor, children: Children) -> torch.Tensor:
        """log p of the children of W prefixes, float32[B, W, C], by the hidden states [B, W, D] that predict them and those
        of the prompts' last positions, `first` [B, D].

        Normalised over what the model chooses among, whatever `children.allowed` says; finite also where no child is.
        """


class Candidates(NamedTuple):
    """W candidates for each of B prompts; places that no item could take hold -1, log_probs 0, scores -inf."""

    items: torch.Tensor  # int64[B, W]
    sids: torch.Tensor  # int64[B, W, L]
    log_probs: torch.Tensor  # float32[B, W, L]
    scores: torch.Tensor  # float32[B, W] = log_probs.sum(-1)


@torch.no_grad()
def beam_search(
    model: SearchModel,
    prompts: PromptBatch,
    trie: Trie,
    width: int,
    banned: Sequence[np.ndarray] | None = None,
    allowed: Sequence[Allowed] | None = None,
    scores: StepScores | None = None,
) -> Candidates:
    """The best `width` items by constrained beam search of that width, best first, in L forwards.

    `banned[b]` items are left out by the search itself, so `width` others are returned where the beam reaches them;
    `allowed[b]`, unless None, limits a row to those items (none of them: an empty list), see `Trie.restrict`. `scores` is
    `model.step_scores()`, for a caller who searches more than once with the same weights.
    """
    return restricted_beam(model, prompts, trie, width, trie.restrict(banned, allowed), scores)


@torch.no_grad()
def restricted_beam(
    model: SearchModel,
    prompts: PromptBatch,
    trie: Trie,
    width: int,
    restriction: Restriction | None,
    scores: StepScores | None = None,
) -> Candidates:
    """`beam_search` under a restriction that is on the device already: nothing here waits for one or reads from the host."""

    def choose(log_probs: torch.Tensor, allowed: torch.Tensor, scores: torch.Tensor):
        totals = (scores.unsqueeze(-1) + log_probs).masked_fill_(~allowed, -torch.inf).flatten(1)
        best, flat = totals.topk(min(width, totals.shape[1]), dim=1)
        return flat // log_probs.shape[-1], flat % log_probs.shape[-1], best == -torch.inf

    return _search(model, prompts, trie, width, restriction, choose, scores)


@torch.no_grad()
def sample(
    model: SearchModel,
    prompts: PromptBatch,
    trie: Trie,
    num_samples: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    banned: Sequence[np.ndarray] | None = None,
) -> Candidates:
    """`num_samples` independent draws of items (repeats possible) at `temperature`, renormalised over what the trie and
    `banned` allow.

    `log_probs` are the model's own (temperature 1, over all K codes). `generator` lives on the prompts' device.
    """

    def choose(log_probs: torch.Tensor, allowed: torch.Tensor, scores: torch.Tensor):
        num_rows, width, num_places = log_probs.shape
        logits = (log_probs / temperature).masked_fill(~allowed, -torch.inf)
        dead = ~allowed.any(-1)  # nothing to draw from: draw anything, the beam is dropped
        weights = torch.where(dead.unsqueeze(-1), 1.0, logits.softmax(-1).nan_to_num(0.0)).reshape(-1, num_places)
        draws = num_samples // width
        place = torch.multinomial(weights, draws, replacement=True, generator=generator).reshape(num_rows, -1)
        parent = torch.arange(width, device=place.device).repeat_interleave(draws).expand(num_rows, -1)
        return parent, place, dead.gather(1, parent)

    return _search(model, prompts, trie, num_samples, trie.restrict(banned), choose)


@torch.no_grad()
def sample_distinct(
    model: SearchModel,
    prompts: PromptBatch,
    trie: Trie,
    num_samples: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    banned: Sequence[np.ndarray] | None = None,
) -> Candidates:
    """`num_samples` different items, drawn one after the other without replacement, in the order drawn.

    The probabilities are those of `sample`. One beam search over Gumbel-perturbed scores (Kool, van Hoof & Welling
    2019, Stochastic Beams and Where to Find Them, algorithm 1).
    """
    choose = _GumbelTopK(num_samples, temperature, generator)
    return _search(model, prompts, trie, num_samples, trie.restrict(banned), choose)


class _GumbelTopK:
    """Keeps the `width` prefixes with the highest perturbed log-probability; W grows from 1 to `width`."""

    def __init__(self, width: int, temperature: float, generator: torch.Generator | None) -> None:
        self.width, self.temperature, self.generator = width, temperature, generator
        self.log_p = self.perturbed = torch.empty(0)  # of the kept prefixes [B, W]: renormalised, and with noise

    def __call__(self, log_probs: torch.Tensor, allowed: torch.Tensor, scores: torch.Tensor):
        if not self.log_p.numel():
            self.log_p = self.perturbed = torch.zeros_like(scores)
        logits = (log_probs / self.temperature).masked_fill(~allowed, -torch.inf)
        log_p = self.log_p.unsqueeze(-1) + logits.log_softmax(-1).nan_to_num(nan=-torch.inf, neginf=-torch.inf)
        uniform = torch.rand(log_p.shape, generator=self.generator, device=log_p.device)
        noisy = log_p - uniform.clamp(torch.finfo(uniform.dtype).tiny, 1 - 2**-24).log().neg().log()
        perturbed = _with_maximum(noisy, self.perturbed.unsqueeze(-1)).masked_fill(~allowed, -torch.inf).flatten(1)
        best, flat = perturbed.topk(min(self.width, perturbed.shape[1]), dim=1)
        dead = best == -torch.inf
        self.perturbed = best.masked_fill(dead, 0.0)
        self.log_p = log_p.flatten(1).gather(1, flat).masked_fill(dead, 0.0)
        return flat // log_probs.shape[-1], flat % log_probs.shape[-1], dead


def _with_maximum(noisy: torch.Tensor, maximum: torch.Tensor) -> torch.Tensor:
    """Gumbel variables [..., K] conditioned on their largest being `maximum` [..., 1] (appendix B.3, stable form)."""
    top = noisy.amax(-1, keepdim=True)
    below = torch.log1p(-(noisy - top).exp().clamp_max(1.0))  # -inf at the top itself
    gap = maximum - noisy + below
    return torch.where(noisy == top, maximum, maximum - gap.relu() - torch.log1p((-gap.abs()).exp()))


def _search(
    model: SearchModel,
    prompts: PromptBatch,
    trie: Trie,
    width: int,
    restriction: Restriction | None,
    choose: _Choose,
    scores: StepScores | None = None,
) -> Candidates:
    num_rows, device = len(prompts.input_ids), prompts.input_ids.device
    siblings: Siblings | FusedSiblings | None = None
    state = torch.zeros(num_rows, 1, dtype=torch.int64, device=device)
    parent = torch.zeros_like(state)
    sids = state.new_empty(num_rows, 1, 0)
    steps = torch.empty(num_rows, 1, 0, device=device)
    hidden = torch.empty(0)
    dense: PrefixLogProbs | None = None
    half = torch.autocast(device.type, dtype=torch.bfloat16, enabled=model.search_dtype == torch.bfloat16)
    with model.inference():
        scores = scores or model.step_scores()
        for level in range(trie.num_levels):
            if siblings is None:
                embeds = model.prompt_embeds(prompts)
                with half:
                    siblings = _read(model, prompts, embeds, width * (trie.num_levels - 1))
                hidden = siblings.last_hidden.unsqueeze(1)
                dense = model.dense_prefixes(siblings.last_hidden, prompts) if model.dense_weight else None
            else:
                # What is left of an id that no other item shares is certain, whatever the states.
                unsure = trie.shared(level, state) if scores.only_child_certain else None
                with half:
                    hidden = siblings.extend(model.token_ids(sids[:, :, -1], level - 1), parent, unsure)
            children = trie.children(level, state, restriction)
            log_probs = scores(level, hidden, siblings.last_hidden, children)
            if dense is not None:
                share = model.dense_weight or 0.0
                log_probs = torch.lerp(log_probs, dense.followers(level, state, children.states), share)
            parent, place, dead = choose(log_probs, children.allowed, steps.sum(-1))
            chosen = parent * log_probs.shape[2] + place
            step, code, state = (t.flatten(1).gather(1, chosen) for t in (log_probs, children.codes, children.states))
            depth = parent.unsqueeze(-1).expand(-1, -1, level)
            steps = torch.cat([steps.gather(1, depth), step.unsqueeze(-1)], dim=2)
            sids = torch.cat([sids.gather(1, depth), code.clamp_min(0).unsqueeze(-1)], dim=2)
            state = state.masked_fill(dead, -1)
            # Dead beams keep a finite score; a state of -1 has no children.
    return _candidates(trie.items(state), sids, steps, width)


def _read(model: SearchModel, prompts: PromptBatch, embeds: torch.Tensor, capacity: int) -> Siblings | FusedSiblings:
    """The prompts as the model reads them, with room for `capacity` sibling tokens."""
    if not fits(model.body):
        return Siblings(model.body, embeds, prompts.attention_mask, prompts.padded_left)
    return FusedSiblings(model.body, prompts.input_ids, embeds, prompts.attention_mask, capacity, model.search_dtype)


def _candidates(items: torch.Tensor, sids: torch.Tensor, steps: torch.Tensor, width: int) -> Candidates:
    missing = items < 0
    sids = sids.masked_fill(missing.unsqueeze(-1), -1)
    scores = steps.sum(-1).masked_fill(missing, -torch.inf)
    steps = steps.masked_fill(missing.unsqueeze(-1), 0.0)
    short = width - items.shape[1]
    if short > 0:  # fewer prefixes than beams
        pad = torch.nn.functional.pad
        items, scores = pad(items, (0, short), value=-1), pad(scores, (0, short), value=-torch.inf)
        sids, steps = pad(sids, (0, 0, 0, short), value=-1), pad(steps, (0, 0, 0, short))
    return Candidates(items, sids, steps, scores)


def rank_users(
    model: SearchModel,
    histories: Sequence[np.ndarray],
    sids: np.ndarray,
    trie: Trie,
    width: int,
    *,
    banned: Sequence[np.ndarray] | None = None,
    allowed: Sequence[Allowed] | None = None,
    scores: StepScores | None = None,
    batch_size: int = 256,
    split: Callable[[np.ndarray], Iterable[slice]] | None = None,
    search: Callable[..., Candidates] = beam_search,
    on_batch: Callable[[np.ndarray, Candidates], None] | None = None,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Beam search for any number of users: items int64[U, W] (-1 = none) and scores float32[U, W], best first.

    Users of like history length share a batch, so that little of it is padding; rows come back in the given order.
    `banned`, `allowed` and `scores` as in `beam_search`. `split` cuts the users into batches in place of `batch_size`, by
    the items of their histories that are read, int64[U], ascending. `search` is called as `beam_search` is. `on_batch` gets the rows int64[B] of every batch and what was found for them.
    """
    items = np.full((len(histories), width), -1, dtype=np.int64)
    totals = np.full((len(histories), width), -np.inf, dtype=np.float32)
    lengths = np.array([min(len(h), model.max_history) for h in histories], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    parts: Iterable[slice] = (slice(start, start + batch_size) for start in range(0, len(order), batch_size))
    if split is not None:
        parts = split(lengths[order])
    started: list[tuple[np.ndarray, Candidates]] = []
    if scores is None:
        with model.inference():
            scores = model.step_scores()
    for part in parts:
        rows = order[part]
        prompts = model.prompts([histories[r] for r in rows], sids)
        left_out = None if banned is None else [banned[r] for r in rows]
        only = None if allowed is None else [allowed[r] for r in rows]
        best = search(model, prompts, trie, width, left_out, only, scores)
        started.append((rows, best))
        # To read waits for a GPU: one batch late, it has the next one to work on meanwhile.
        last = part.stop >= len(order)
        for rows, best in started if last else started[:-1]:
            items[rows], totals[rows] = best.items.cpu().numpy(), best.scores.cpu().numpy()
            if on_batch is not None:
                on_batch(rows, best)
        started = started[-1:]
        progress(min(part.stop, len(order)), len(order), "decode")
    return items, totals
