"""Re-rankers in turn: tuned one after the other, kept in one file, each seen in the table."""

import numpy as np
import pytest

from genrec.errors import DataError
from genrec.rank.rerank.parts import steps
from tests.support.rerank_tiny import lists, paying

CHOSEN = [
    ("fusion", {"evaluations": 60, "search": "cem"}),
    ("mmr", {"relevance_weight": 0.7}),
    ("caps", {"category": 2}),
    ("caps", {"brand": 3}),
    ("rules", {"rules": [{"action": "bury", "in_stock": False}]}),
]


@pytest.fixture(scope="module")
def tuned():
    return steps.tune(CHOSEN, paying(), 5, 0)


def test_steps_that_are_read_again_give_the_same_lists(tuned, tmp_path):
    tuned.save(tmp_path)
    on = paying(seed=4)
    order, warnings = tuned.rerank(on, 5)
    again, _ = steps.load(tmp_path).rerank(on, 5)
    assert np.array_equal(order, again)
    assert order.shape == (len(on), 5)
    assert all(len(set(row)) == 5 for row in order.tolist())
    assert not [name for name in warnings if not name.startswith(("fusion: ", "caps"))]


def test_every_step_is_in_the_table_and_starts_from_the_one_before(tuned):
    rows = tuned.table(paying(seed=4), 5, num_bootstrap=50)
    of_hr = [row for row in rows if row["figure"] == "hr@5"]
    assert [row["step"] for row in of_hr] == ["fusion", "mmr", "caps", "caps_2", "rules"]
    assert [row["before"] for row in of_hr[1:]] == [row["after"] for row in of_hr[:-1]]


def test_the_last_rule_has_the_last_word(tuned):
    on = paying(seed=4)
    order, _ = tuned.rerank(on, 12)
    stock = np.take_along_axis(on.of_items(on.facts.in_stock, False), order, axis=1)
    assert (np.diff(stock.astype(int), axis=1) <= 0).all()


def test_the_list_is_what_the_last_step_of_the_trace_shows_with_the_same_warnings(tuned):
    on = lists(num_users=30, width=9, empty=0.3)
    order, warnings = tuned.rerank(on, 7)
    stages, counted = tuned.trace(on, 7)
    assert np.array_equal(order, stages[-1][1])
    assert warnings == counted


def test_lists_without_a_candidate_and_shorter_than_k_are_padded_and_counted(tuned):
    on = lists(num_users=30, width=4, empty=0.5)
    order, warnings = tuned.rerank(on, 7)
    assert ((order >= 0).sum(axis=1) == on.present.sum(axis=1)).all()
    assert warnings["lists without a candidate"] == (~on.present).all(axis=1).sum() > 0


def test_no_steps_keep_the_lists():
    on = lists()
    order, _ = steps.tune([], on, 3, 0).rerank(on, 3)
    assert np.array_equal(order, np.where(on.present, np.arange(on.width), -1)[:, :3])


@pytest.mark.parametrize("text", ["", "[{}]", '[{"name": "none", "options": {}, "state": {}}]', '{"a": 1}'])
def test_a_file_that_is_not_what_was_written_names_the_fix(tmp_path, text):
    (tmp_path / "rerank.json").write_text(text)
    with pytest.raises(DataError, match="run the rank stage again"):
        steps.load(tmp_path)
