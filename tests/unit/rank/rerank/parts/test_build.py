"""Lists are made from rows of user and item: best first, cut, with what is known of each candidate."""

import numpy as np
import pyarrow as pa

from genrec.rank.rerank.parts.build import facts_of, lists_of
from tests.support.rerank_tiny import facts


def test_rows_become_lists_best_first():
    made = lists_of(
        users=np.array([3, 5, 9]),
        user=np.array([3, 3, 3, 9, 9]),
        item=np.array([7, 2, 4, 1, 2]),
        score=np.array([0.1, np.nan, 0.3, 0.5, 0.6], dtype=np.float32),
        facts=facts(10),
        aims={"purchase": np.array([0.7, 0.2, 0.4, 0.1, 0.9], dtype=np.float32)},
        item_aims={"price": np.array([1, 2, np.nan, 4, 5, 6, 7, 8, 9, 10])},
        limit=2,
        target=np.array([7, 1, 1]),
        bought=np.array([True, True, False]),
    )
    assert made.item.tolist() == [[4, 7], [-1, -1], [2, 1]]
    assert made.score.round(1).tolist() == np.float32([[0.3, 0.1], [0, 0], [0.6, 0.5]]).round(1).tolist()
    np.testing.assert_array_equal(made.aims["purchase"], np.float32([[0.4, 0.7], [np.nan, np.nan], [0.9, 0.1]]))
    np.testing.assert_array_equal(made.aims["price"], np.float32([[5, 8], [np.nan, np.nan], [np.nan, 2]]))
    assert made.outcome["next"].tolist() == [[0, 1], [0, 0], [0, 1]]
    assert made.outcome["purchase"].tolist() == [[0, 1], [0, 0], [0, 0]]


def test_a_score_that_is_not_finite_is_the_lowest_and_none_at_all_is_an_empty_list():
    made = lists_of(
        users=np.array([0]),
        user=np.array([0, 0]),
        item=np.array([1, 2]),
        score=np.array([np.inf, 0.5], dtype=np.float32),
        facts=facts(5),
        aims={},
        item_aims={},
        limit=5,
    )
    assert made.item.tolist() == [[2, 1]]
    assert made.score.tolist() == [[0.5, 0.5]]
    nobody = np.empty(0, dtype=np.int64)
    empty = lists_of(
        np.array([0, 1]), nobody, nobody, np.empty(0, np.float32), facts(5), aims={}, item_aims={}, limit=5
    )
    assert empty.item.shape == (2, 0)


def test_facts_come_from_the_catalogue():
    catalogue = pa.table(
        {
            "brand": ["Kestrel", "", "Moss", "Kestrel"],
            "categories": [["home", "desks"], [], ["home", "lamps"], ["desks"]],
            "train_count": [0, 5, 6, 0],
        }
    )
    found, aims = facts_of(catalogue, None)
    assert [found.brand_names[b] if b >= 0 else None for b in found.brand] == ["Kestrel", None, "Moss", "Kestrel"]
    assert [found.category_names[c] if c >= 0 else None for c in found.category] == ["desks", None, "lamps", "desks"]
    assert aims["new"].tolist() == [True, True, False, True]
    np.testing.assert_allclose(aims["novelty"], -np.log2(np.array([1, 6, 7, 1]) / 15))
