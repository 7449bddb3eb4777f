"""A trained model over more items than it was trained on, without training: what a new item is known by are its semantic id
and its text.
"""

import copy

import numpy as np
import torch
from torch.nn import functional

from genrec.errors import DataError
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions


@torch.no_grad()
def with_more_items(policy: Policy, codes: np.ndarray, text: np.ndarray | None) -> Policy:
    """The same model, every weight shared but those of items, for M more items after those it has.

    A new item has no embedding of its own, and no transitions; neither has a prefix that no item had before. The mean text
    of the prefixes above new items counts these too.

    Args:
        policy: the model; it is not changed.
        codes: int[M, L], semantic ids that no item has.
        text: float[M, V], text vectors by the encoder of the model's catalogue; None where the model reads none.

    Raises:
        DataError: text vectors are missing or of another width, or an id is one that an item has.
    """
    if policy.items is None or not len(codes):
        return policy
    grown = copy.copy(policy)
    grown.items = _grown(policy.items, codes, text)
    return grown


def known_nodes(items: ItemVectors, earlier: ItemVectors) -> tuple[torch.Tensor, torch.Tensor]:
    """Which inner nodes of the trie of `items` that of `earlier` has too, bool[S], and the rows of their embeddings
    there, int64, on the CPU.
    """
    wanted, held = items.inner_prefixes().cpu(), earlier.inner_prefixes().cpu()
    order = held.argsort()
    place = torch.searchsorted(held[order], wanted).clamp_max(len(held) - 1)
    known = held[order][place] == wanted
    return known, order[place[known]]


def _grown(items: ItemVectors, codes: np.ndarray, text: np.ndarray | None) -> ItemVectors:
    dim = None if items.text is None else items.text.shape[1]
    if dim is not None and (text is None or text.shape != (len(codes), dim)):
        given = "none" if text is None else f"an array of shape {text.shape}"
        raise DataError(f"new items: the model reads text vectors of {dim} dimensions, one an item; there is {given}")
    device = items.codes.device
    all_codes = np.concatenate([items.codes.cpu().numpy(), codes])
    weights = [module.weight for module in (items.ids, items.nodes) if module is not None]
    weights += [items.projection.weight.T] if items.projection is not None else []
    width = weights[0].shape[1] if weights else 1
    grown = ItemVectors(all_codes, items.num_codes, width, None, items.ids is not None, items.nodes is not None).to(
        device
    )
    if items.text is not None and text is not None:
        more = functional.normalize(torch.from_numpy(np.array(text, dtype=np.float32)), dim=1)
        grown.text = torch.cat([items.text, more.to(device)])
    grown.projection = items.projection
    if grown.ids is not None and items.ids is not None:
        grown.ids.weight.zero_()[: len(items)] = items.ids.weight
    if grown.nodes is not None and items.nodes is not None:
        known, rows = known_nodes(grown, items)
        grown.nodes.weight.zero_()[known.to(device)] = items.nodes.weight[rows.to(device)]
    if items.transitions is not None:
        grown.transitions = _with_more_sources(items.transitions, len(codes))
    return grown.requires_grad_(False)


def _with_more_sources(table: Transitions, number: int) -> Transitions:
    """The table for more items, which nothing follows."""
    starts = torch.cat([table.starts, table.starts[-1:].expand(number)])
    grown = Transitions(starts, table.targets, table.weights, 0.0, 0)
    grown.history_decay, grown.window = table.history_decay, table.window
    return grown
