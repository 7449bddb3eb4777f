"""Fine-tuning from an earlier model: every weight of the same name and shape starts from it."""

import dataclasses
from pathlib import Path

import pyarrow.compute as pc
import torch

from genrec.errors import DataError
from genrec.model import adapter
from genrec.model.more_items import known_nodes
from genrec.model.policy import Policy
from genrec.tables import read_table

# Of the item vectors: a row an item or an inner node of the trie, so catalogues decide what goes where.
_ITEM_ROWS, _NODE_ROWS = "ids.weight", "nodes.weight"


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """Where to start from.

    Args:
        model, base: folders of the earlier sft or rl artifact and of the base it was trained on.
        catalogue: catalogue.parquet that the earlier model was trained on.
    """

    model: Path
    base: Path
    catalogue: Path


@torch.no_grad()
def load_weights(policy: Policy, start: WarmStart, catalogue: Path) -> float:
    """Overwrite the weights of `policy` (for the items of `catalogue`) by those of an earlier model.

    The semantic ids of both must mean the same. Known items keep their embeddings, new items fresh ones.

    Returns:
        The share of the trained numbers that were taken over, 0..1.

    Raises:
        DataError: nothing fits, or an artifact is missing or damaged.
    """
    earlier = Policy.load(start.model, start.base, device=policy.device)
    weights, sources = _weights(policy), _weights(earlier)
    taken = 0
    for name, weight in weights.items():
        source = sources.get(name)
        if source is None:
            continue
        if name == f"items.{_ITEM_ROWS}":
            taken += _copy_item_rows(weight, source, catalogue, start.catalogue)
        elif name == f"items.{_NODE_ROWS}":
            taken += _copy_node_rows(weight, source, policy, earlier)
        elif source.shape == weight.shape and weight.is_floating_point():
            weight.copy_(source)
            taken += weight.numel()
    total = sum(weight.numel() for weight in weights.values())
    if not taken:
        raise DataError(
            f"{start.model}: no weight fits the model that is to be trained; leave service.keep: weights out"
        )
    return taken / total


def _weights(policy: Policy) -> dict[str, torch.Tensor]:
    """What training changes: the adapter where there is one, else all weights, and the weights of the item vectors."""
    parameters = policy.model.named_parameters()
    weights = {name: p.data for name, p in parameters if not policy.has_adapter or adapter.is_part(name)}
    if policy.items is not None:
        weights |= {f"items.{name}": p.data for name, p in policy.items.named_parameters()}
    return weights


def _copy_node_rows(weight: torch.Tensor, source: torch.Tensor, policy: Policy, earlier: Policy) -> int:
    """Rows of prefixes that both catalogues have."""
    if weight.shape[1:] != source.shape[1:]:
        return 0
    assert policy.items is not None
    assert earlier.items is not None
    known, rows = known_nodes(policy.items, earlier.items)
    weight[known.to(weight.device)] = source[rows.to(source.device)]
    return int(known.sum()) * weight.shape[1]


def _copy_item_rows(weight: torch.Tensor, source: torch.Tensor, catalogue: Path, old_catalogue: Path) -> int:
    if weight.shape[1:] != source.shape[1:]:
        return 0
    ids = read_table(old_catalogue, columns=["item_id"])["item_id"].combine_chunks()
    place = pc.index_in(read_table(catalogue, columns=["item_id"])["item_id"], value_set=ids)
    known = torch.from_numpy(pc.is_valid(place).to_numpy(zero_copy_only=False).copy())
    rows = torch.from_numpy(place.filter(pc.is_valid(place)).to_numpy().astype("int64"))
    weight[known.to(weight.device)] = source[rows.to(source.device)]
    return int(known.sum()) * weight.shape[1]
