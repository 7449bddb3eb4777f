"""Item2Vec with side information: what brand and category add."""

import numpy as np
import pyarrow as pa

from genrec.recall.parts.scorer import Training
from genrec.recall.parts.side import side_of
from tests.support.recall_tiny import fitted, two_camps

# two camps of six items, and a cold item of each: only its brand and category tell of which
BRANDS = ["a"] * 6 + ["b"] * 6 + ["a", "b", ""]
SIDE = side_of(
    pa.table(
        {"brand": BRANDS, "categories": pa.array([[b] if b else [] for b in BRANDS], pa.list_(pa.string()))},
    )
)
OPTIONS = {"dim": 16, "epochs": 12, "batch_size": 64, "learning_rate": 0.02}


def test_a_cold_item_stands_where_its_brand_and_category_do():
    channel = fitted("item2vec_side", data=Training(two_camps(30), 15, side=SIDE), **OPTIONS)
    scores = channel.scores([np.array([0, 1]), np.array([7, 8])])
    assert scores[0, 12] > 0.5 > scores[0, 13]
    assert scores[1, 13] > 0.5 > scores[1, 12]


def test_a_cold_item_of_which_nothing_is_known_is_no_candidate():
    channel = fitted("item2vec_side", data=Training(two_camps(30), 15, side=SIDE), **{**OPTIONS, "epochs": 1})
    items, _ = channel.top([np.array([0])], 15)
    assert set(range(14)) == set(items[0][items[0] >= 0])


def test_every_pair_within_the_window_is_learned_from_both_ways():
    from genrec.recall.item2vec_side import _pairs

    pairs = _pairs(np.array([3, 4, 5, 6]), np.array([0, 0, 0, 1]), 2)
    found = sorted(zip(*(part.tolist() for part in pairs), strict=True))
    assert found == [(3, 4, 1), (3, 5, 2), (4, 3, 1), (4, 5, 1), (5, 3, 2), (5, 4, 1)]
