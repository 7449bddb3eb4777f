"""An engine over a random catalogue, with every part of a score: semantic ids, dense head, transition table."""

import numpy as np

from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.transitions import Transitions
from genrec.serve.catalogue import Catalogue
from genrec.serve.engine import Engine
from tests.support.lm_tiny import NUM_CODES, random_sids, tiny_policy

NUM_ITEMS = 40
COLOURS = ("Red", "Blue", "Green", "Black")
THINGS = ("mug", "kettle", "grinder", "teapot", "tray")


def scored_policy(sids: np.ndarray, dense_weight: float | None, share: float, seed: int = 0) -> Policy:
    """Random weights; transitions from every item to the next two, save of the last four items, which nothing followed."""
    policy = tiny_policy(seed)
    if dense_weight is None:
        return policy
    policy.use_items(ItemVectors(sids, NUM_CODES, 16, None, ids=True), dense_weight=dense_weight)
    assert policy.items is not None
    sequence = np.arange(len(sids) - 3)
    offsets = np.array([0, len(sequence)])
    policy.items.transitions = Transitions.count(sequence, offsets, len(sids), window=2, history_decay=0.5)
    policy.transition_share = share
    return policy


def tiny_catalogue(num_items: int = NUM_ITEMS, titles: list[str] | None = None, seed: int = 3) -> Catalogue:
    """Items i0, i1, ... with titles like "Red mug 0" and two categories each; i0 is the most popular."""
    sids = random_sids(num_items, seed)
    things = [THINGS[i % len(THINGS)] for i in range(num_items)]
    titles = titles or [f"{COLOURS[i % len(COLOURS)]} {thing} {i}" for i, thing in enumerate(things)]
    return Catalogue(
        [f"i{i}" for i in range(num_items)], titles, ["brand"] * num_items,
        [("Kitchen", thing.capitalize()) for thing in things], sids, NUM_CODES, np.arange(num_items)[::-1].copy(),
    )  # fmt: skip


def tiny_engine(
    dense_weight: float | None = 0.7,
    share: float = 0.4,
    catalogue: Catalogue | None = None,
    model_key: str = "tiny",
    seed: int = 0,
) -> Engine:
    """A model without a dense head where `dense_weight` is None."""
    catalogue = catalogue or tiny_catalogue()
    return Engine(scored_policy(catalogue.sids, dense_weight, share, seed), catalogue, model_key)
