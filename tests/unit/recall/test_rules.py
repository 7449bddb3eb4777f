"""Rules: known answers."""

import numpy as np
import pyarrow as pa
import pytest

from genrec.recall.parts.scorer import Training
from genrec.recall.parts.side import side_of
from tests.support.recall_tiny import fitted

# items 0..3 are mugs, 4 and 5 kettles, 6 has no category; 7 is a mug nobody had
CATEGORIES = [["Kitchen", "Mug"]] * 4 + [["Kitchen", "Kettle"]] * 2 + [[], ["Kitchen", "Mug"]]
SIDE = side_of(pa.table({"brand": [""] * 8, "categories": pa.array(CATEGORIES, pa.list_(pa.string()))}))
SEQUENCES = [np.array(s, dtype=np.int32) for s in ([0, 1, 4], [0, 1, 5], [0, 2, 4], [0, 4], [6, 3])]
TIMES = [np.array(t) for t in ([1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11], [12, 13])]


def listed(history, n=8, **options):
    data = Training(SEQUENCES, 8, timestamps=TIMES, side=SIDE)
    items, scores = fitted("rules", data=data, **options).top([np.array(history, dtype=np.int32)], n)
    return items[0][items[0] >= 0].tolist(), scores[0]


def test_best_sellers_are_those_of_the_categories_of_the_history():
    assert listed([2], new_share=0.0)[0] == [0, 1, 2, 3]  # 4, 2, 1 and 1 events: equal ones by number
    assert listed([4], new_share=0.0)[0] == [4, 5]
    # 4 sold 3/4 of its category, 0 sold 4/8 of its own; a mug that is one event older counts half
    assert listed([2, 4], new_share=0.0, history_decay=0.5)[0][:3] == [4, 0, 5]


def test_new_items_are_those_of_the_categories_first_and_then_the_latest():
    # at most one event: 2, 3, 5, 6, 7; mugs first: 3 sold last, then 2, 7 never
    assert listed([0], new_share=1.0, new_count=1)[0] == [3, 2, 7, 6, 5]


def test_the_two_lists_share_the_places():
    items, scores = listed([0], new_share=0.5, new_count=1)
    # new 3 2 7 6 5 and best sellers 0 1 2 3 stand at 0, 2, 4, ...: an item of both keeps its better place
    assert items == [0, 3, 1, 2, 7, 6, 5]
    np.testing.assert_allclose(scores[:7], 1 / (1 + np.array([0, 0, 2, 2, 4, 6, 8])), rtol=1e-6)


def test_a_new_user_gets_new_items_and_no_best_sellers_of_no_category():
    assert listed([], new_share=0.5, new_count=1)[0] == [3, 6, 2, 5, 7]


def test_without_side_information_there_are_new_items_alone():
    items, _ = fitted("rules", SEQUENCES, 8, new_count=0).top([np.array([0])], 3)
    assert items.tolist() == [[7, -1, -1]]


@pytest.mark.parametrize("new_share", [0.0, 0.3, 0.5, 1.0])
def test_a_short_list_of_one_history_is_the_beginning_of_the_long_list_it_gets_beside_others(new_share):
    rng = np.random.default_rng(7)
    names = [["shop", f"aisle {rng.integers(5)}"] for _ in range(60)]
    side = side_of(pa.table({"brand": [""] * 60, "categories": pa.array(names, pa.list_(pa.string()))}))
    sequences = [rng.integers(0, 55, 6).astype(np.int32) for _ in range(40)]
    times = [np.sort(rng.integers(0, 1000, 6)) for _ in sequences]
    data = Training(sequences, 60, timestamps=times, side=side)
    scorer = fitted("rules", data=data, new_share=new_share, new_count=4)
    histories = [rng.integers(0, 60, size) for size in (1, 3, 9)] + [np.empty(0, np.int64)]
    items, values = scorer.top(histories, 60, histories)
    for row, history in enumerate(histories):
        for n in (1, 4, 60):
            alone = scorer.top([history], n, [history])
            np.testing.assert_array_equal(alone[0][0], items[row, :n])
            np.testing.assert_array_equal(alone[1][0], values[row, :n])
