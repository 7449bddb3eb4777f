"""An output vector for every prefix of the catalogue's ids: the code's row and what is known of the items below it.

A step's logit for code c behind prefix p is the hidden state against the code's own output row plus the vector of the
trie node (p, c): the mean of the projected text vectors of the items below, and an embedding of the node (for a whole id, of the item).
The softmax is over the children of p: a tree softmax (Morin & Bengio 2005, Hierarchical probabilistic neural network
language model) tied to the items' content. A code means something else behind every prefix, so one row for it cannot tell
the items of a cell apart; an item that is new has a vector as soon as it has an id and a text.

The projection is linear, so the mean text vector of a node is a constant that is projected when the node is needed:
neither a step of training nor one of search touches more than the children of the prefixes at hand.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from genrec.errors import DataError
from genrec.model.precision import in_float32, products
from genrec.search.trie import Children
from genrec.variants import setting

if TYPE_CHECKING:  # they import transformers, which a config check can do without
    from genrec.model.item_vectors import ItemVectors
    from genrec.model.output import OutputModel

# A matrix product takes this many columns in the time of one gathered vector, about.
_DENSE_FACTOR, _DENSE_FACTOR_ON_GPU = 16, 128
_MOST_GATHERED = 1 << 28  # numbers that a search on a GPU gathers at a time: 1 GiB
_NODES_A_BLOCK = 1 << 18  # whose vectors are computed at a time
_BEAMS = 256  # whose children are gathered at a time on the CPU: they stay in the cache of a core
_NUMBERS_A_CALL = 1 << 14  # that are gathered and read in the time of one more matrix product, about


@dataclass(frozen=True)
class Config:
    """Settings of the output; text and embeddings of items are those of `sft.item_vectors`."""

    nodes: bool = setting(True, "Add an embedding to every inner node of the trie (prefixes of part of an id).")
    history_state: bool = setting(
        True,
        "Add the state after the history to the states after an id's first codes: what it says of the items decides among "
        "those of a cell too.",
    )


class Output:
    """Softmax over the codes that follow the prefix in the catalogue."""

    needs_items = True

    def __init__(self, options: Config) -> None:
        self.inner_nodes, self._adds_history = options.nodes, options.history_state

    def logits(self, model: "OutputModel", hidden: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        items, rows = _items(model), model.head_rows()
        trie = items.trie
        state = torch.zeros_like(codes[:, 0])
        levels = []
        for level in range(trie.num_levels):
            states = hidden[:, level] + hidden[:, 0] if level and self._adds_history else hidden[:, level]
            if items.node_gradient is not None:
                with in_float32(states.device):
                    found = items.child_products(level, states, state, rows[level])
                following = trie.children(level, state.unsqueeze(1)).codes[:, 0]
            elif level == 0:
                vectors = items.node_vectors(0, None, rows[0])
                found = products(states, vectors)
                following = trie.codes(0).expand_as(found)
            else:
                children = trie.children(level, state.unsqueeze(1))
                following = children.codes[:, 0]
                found = _children_logits(items, level, states, children.states[:, 0], rows[level])
            levels.append(_by_code(found, following, trie.num_codes))
            state = trie.advance(level, state, codes[:, level])
        return torch.stack(levels, dim=1)

    def step_scores(self, model: "OutputModel") -> "_Nodes":
        return _Nodes(_items(model), model.head_rows(), self._adds_history)


def _items(model: "OutputModel") -> "ItemVectors":
    if model.items is None:
        raise DataError("the model holds no item vectors; the output `prefixes` needs them")
    return model.items


def _on_gpu(tensor: torch.Tensor) -> bool:
    return tensor.device.type != "cpu"


def _children_logits(
    items: "ItemVectors", level: int, hidden: torch.Tensor, states: torch.Tensor, rows: torch.Tensor
) -> torch.Tensor:
    """float32[T, C] of hidden [T, D] against the nodes `states` int64[T, C] (-1: anything), `rows` [K, D] being the codes'."""
    num_nodes, on_gpu = items.trie.num_states(level + 1), _on_gpu(hidden)
    if on_gpu and num_nodes <= states.numel():  # to look for those in use would wait for the device
        distinct, place = None, states.clamp_min(0)
    else:
        distinct, place = states.clamp_min(0).unique(return_inverse=True)
        num_nodes = len(distinct)
    vectors = items.node_vectors(level, distinct, rows)
    if num_nodes <= (_DENSE_FACTOR_ON_GPU if on_gpu else _DENSE_FACTOR) * states.shape[1]:
        return products(hidden, vectors).gather(1, place)
    with in_float32(hidden.device):
        gathered = functional.embedding(place, vectors)
        return torch.bmm(gathered, hidden.float().unsqueeze(2)).squeeze(2)


def _by_code(logits: torch.Tensor, codes: torch.Tensor, num_codes: int) -> torch.Tensor:
    """float32[T, K], -inf but at `codes` int64[T, C] (-1: none); zeros in a row without any."""
    there = codes >= 0
    spread = logits.new_full((len(logits), num_codes + 1), -torch.inf)
    spread = spread.scatter(1, torch.where(there, codes, num_codes), logits)[:, :num_codes]
    return torch.where(there.any(1, keepdim=True), spread, 0.0)


class _Nodes:
    """The vectors of all nodes, computed once."""

    only_child_certain = True

    def __init__(self, items: "ItemVectors", rows: torch.Tensor, adds_history: bool) -> None:
        self._adds_history = adds_history
        self._levels = [_all_vectors(items, level, rows[level]) for level in range(items.trie.num_levels)]

    def __call__(self, level: int, hidden: torch.Tensor, first: torch.Tensor, children: Children) -> torch.Tensor:
        vectors, there = self._levels[level], children.states >= 0
        if level and self._adds_history:
            hidden = hidden + first.unsqueeze(1)
        if level == 0:  # the root's children are all nodes of the level, in their order
            logits = products(hidden, vectors)
        else:
            with in_float32(hidden.device):
                logits = _children_products(hidden.float(), vectors, children.states)
        lowest = torch.finfo(logits.dtype).min  # finite: a beam without children must not turn into nan
        return logits.masked_fill_(~there, lowest).log_softmax(-1)


def _all_vectors(items: "ItemVectors", level: int, rows: torch.Tensor) -> torch.Tensor:
    """`node_vectors` of all nodes; of very many in blocks, whose parts take memory beside the sum."""
    size = items.trie.num_states(level + 1)
    if size <= _NODES_A_BLOCK:
        return items.node_vectors(level, None, rows)
    with torch.no_grad():
        vectors = torch.empty(size, rows.shape[1], device=rows.device)
        for block in torch.arange(size, device=rows.device).split(_NODES_A_BLOCK):
            vectors[block[0] : block[-1] + 1] = items.node_vectors(level, block, rows)
    return vectors


def _children_products(hidden: torch.Tensor, vectors: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """float32[B, W, C] of hidden [B, W, D] against the rows `states` int64[B, W, C] of `vectors` [S, D]; -1, always last of
    a prefix, gives anything.
    """
    flat, beams = states.flatten(0, 1), hidden.flatten(0, 1)
    if _on_gpu(states):
        return _without_waiting(beams, vectors, flat.clamp_min(0)).view(states.shape)
    counts = (flat >= 0).sum(1)
    first, place, sizes = flat[:, 0].unique(return_inverse=True, return_counts=True)
    if int(counts.sum()) * vectors.shape[1] >= len(first) * _NUMBERS_A_CALL:
        return _by_prefix(beams, vectors, counts, first, place, sizes, flat.shape[1]).view(states.shape)
    # Few prefixes have as many children as the widest: taken by their number, little of what is gathered is padding.
    found = beams.new_zeros(flat.shape)
    order = counts.argsort()
    for start in range(0, len(flat), _BEAMS):
        rows = order[start : start + _BEAMS]
        width = int(counts[rows[-1]])
        gathered = functional.embedding(flat[rows, :width].clamp_min(0), vectors)
        found[rows, :width] = torch.bmm(gathered, beams[rows].unsqueeze(2)).squeeze(2)
    return found.view(states.shape)


def _without_waiting(beams: torch.Tensor, vectors: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """float32[n, C] of `beams` [n, D] against the rows `states` int64[n, C] of `vectors` [S, D]; the host reads nothing."""
    if len(vectors) <= _DENSE_FACTOR_ON_GPU * states.shape[1]:
        return (beams @ vectors.T).gather(1, states)
    rows = max(1, _MOST_GATHERED // (states.shape[1] * vectors.shape[1]))
    parts = zip(beams.split(rows), states.split(rows), strict=True)
    return torch.cat([torch.bmm(functional.embedding(s, vectors), b.unsqueeze(2)).squeeze(2) for b, s in parts])


def _by_prefix(
    beams: torch.Tensor,
    vectors: torch.Tensor,
    counts: torch.Tensor,
    first: torch.Tensor,
    place: torch.Tensor,
    sizes: torch.Tensor,
    num_children: int,
) -> torch.Tensor:
    """float32[n, C]: one product for all `beams` [n, D] behind a prefix, whose children are neighbours in `vectors`.

    `counts` int64[n] children a beam; `first` int64[P] the first child of every prefix, `place` int64[n] the prefix of a
    beam, `sizes` int64[P] beams a prefix.
    """
    order = place.argsort()
    sorted_beams, widths = beams[order], counts[order].tolist()
    found = beams.new_zeros(len(beams), num_children)
    end = 0
    for child, size in zip(first.tolist(), sizes.tolist(), strict=True):
        start, end = end, end + size
        width = widths[start]
        torch.mm(sorted_beams[start:end], vectors[child : child + width].T, out=found[start:end, :width])
    return torch.empty_like(found).index_copy_(0, order, found)
