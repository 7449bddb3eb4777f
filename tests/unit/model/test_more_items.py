"""Promises of a model over more items than it was trained on: new items are what their ids and texts make of them."""

import copy

import numpy as np
import pytest

from genrec.errors import DataError
from genrec.model.item_vectors import ItemVectors
from genrec.model.more_items import known_nodes, with_more_items
from genrec.serve.query import Query
from tests.support import serve_tiny
from tests.support.lm_tiny import NUM_CODES, tiny_policy
from tests.support.serve_tiny import NUM_ITEMS, SIDS, TEXT_DIM


def test_a_new_item_scores_as_one_of_its_text_that_was_there_without_events():
    whole, known = serve_tiny.whole_policy(2), NUM_ITEMS - 4
    whole.items.transitions = None
    whole.items.forget_unseen(np.arange(known))
    held = whole.items
    part = ItemVectors(SIDS[:known], NUM_CODES, 16, None, ids=True, nodes=True).requires_grad_(False)
    part.text, part.projection = held.text[:known], held.projection
    part.ids.weight.copy_(held.ids.weight[:known])
    part.nodes.weight.copy_(held.nodes.weight[known_nodes(part, held)[1]])
    less = copy.copy(whole)
    less.items = part
    grown = with_more_items(less, SIDS[known:], 3 * held.text[known:].numpy())
    for name, expected in held.state_dict().items():
        np.testing.assert_allclose(grown.items.state_dict()[name], expected, atol=1e-6, err_msg=name)
    query = Query(["i1", "i28"], k=NUM_ITEMS)
    listed, expected = (serve_tiny.engine(policy=policy).answer([query])[0].items for policy in (grown, whole))
    assert [item.item_id for item in listed] == [item.item_id for item in expected]
    np.testing.assert_allclose([i.score for i in listed], [i.score for i in expected], atol=1e-5)


def test_text_vectors_of_new_items_must_be_those_the_model_reads():
    policy = serve_tiny.whole_policy()
    with pytest.raises(DataError, match=f"text vectors of {TEXT_DIM} dimensions, one an item; there is none"):
        with_more_items(policy, np.array([[5, 5, 5]]), None)
    with pytest.raises(DataError, match=r"an array of shape \(1, 2\)"):
        with_more_items(policy, np.array([[5, 5, 5]]), np.zeros((1, 2)))


def test_the_model_it_grows_from_stays_as_it_is():
    policy = serve_tiny.whole_policy()
    before = {name: tensor.clone() for name, tensor in policy.items.state_dict().items()}
    grown = with_more_items(policy, np.array([[5, 5, 5]]), np.ones((1, TEXT_DIM)))
    assert (len(policy.items), len(grown.items)) == (NUM_ITEMS, NUM_ITEMS + 1)
    for name, tensor in policy.items.state_dict().items():
        np.testing.assert_array_equal(tensor, before[name], err_msg=name)
    assert grown.model is policy.model
    assert with_more_items(policy, np.empty((0, 3), np.int64), None) is policy
    ids_alone = tiny_policy()
    assert with_more_items(ids_alone, np.array([[5, 5, 5]]), None) is ids_alone
