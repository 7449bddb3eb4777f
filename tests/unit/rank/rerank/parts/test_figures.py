"""Figures of lists, and the table of what steps gain and cost."""

from dataclasses import replace

import numpy as np
import pytest

from genrec.rank.rerank.parts.figures import PURCHASES_AMONG_HITS, as_text, of_lists, table
from genrec.rank.rerank.parts.lists import ItemFacts, Lists
from tests.support.rerank_tiny import paying

NAN = np.nan


def made():
    vectors = np.array([[1, 0], [0, 2], [3, 0]], dtype=np.float32)
    facts = ItemFacts(np.array([0, 1, 0]), np.array([0, 0, 0]), vectors=vectors)
    matrix = {name: np.array(values, dtype=np.float32) for name, values in {
        "price": [[10, NAN, 30], [NAN, NAN, NAN]], "next": [[0, 1, 0], [0, 0, 0]], "purchase": [[0, 1, 0], [0, 0, 0]]
    }.items()}  # fmt: skip
    return Lists(
        item=np.array([[0, 1, 2], [2, -1, -1]]),
        score=np.zeros((2, 3), dtype=np.float32),
        aims={"price": matrix["price"]},
        facts=facts,
        outcome={"next": matrix["next"], "purchase": matrix["purchase"]},
    )


def test_figures_by_hand():
    found = of_lists(made(), np.array([[0, 1], [0, -1]]))
    assert found["ndcg@2"] == pytest.approx([1 / np.log2(3), 0])
    assert found["hr@2"].tolist() == found["purchases@2"].tolist() == [1, 0]
    assert found["earned_price@2"] == pytest.approx([20, 0]), "an unknown price is the mean of the list"
    np.testing.assert_array_equal(found["price@2"], [10, NAN])
    np.testing.assert_allclose(found["diversity@2"], [1, NAN])
    assert found["categories@2"].tolist() == [2, 1]
    assert set(of_lists(made(), np.array([[0, 1], [0, -1]]), ["hr@2"])) >= {"hr@2"}
    assert "diversity@2" not in of_lists(made(), np.array([[0, 1], [0, -1]]), ["hr@2"])


def test_the_table_holds_differences_to_the_step_before_with_paired_intervals():
    lists = paying(300)
    first, chosen = np.tile(np.arange(5), (300, 1)), np.tile(np.arange(5)[::-1], (300, 1))
    rows = {
        (r["step"], r["figure"]): r for r in table(lists, [("before", first), ("turned", chosen), ("same", chosen)])
    }
    turned, same = rows["turned", "ndcg@5"], rows["same", "ndcg@5"]
    assert turned["after"] == same["before"] == same["after"]
    assert same["difference"] == 0
    assert same["ci"] == [0, 0]
    assert turned["ci"][0] < turned["difference"] < turned["ci"][1]
    assert rows["turned", "hr@5"]["difference"] == 0
    hits = of_lists(lists, first)
    share = hits["purchases@5"].sum() / hits["hr@5"].sum()
    assert rows["turned", PURCHASES_AMONG_HITS]["before"] == pytest.approx(share)
    assert "turned" in as_text(list(rows.values()))


def test_a_figure_that_no_list_has_is_empty_in_the_table():
    lists = replace(made(), aims={"price": np.full((2, 3), NAN, dtype=np.float32)})
    rows = table(lists, [("before", np.array([[0], [0]])), ("after", np.array([[1], [0]]))])
    by_figure = {row["figure"]: row for row in rows}
    assert by_figure["price@1"]["difference"] is None
    assert by_figure["diversity@1"]["ci"] is None
    assert by_figure[PURCHASES_AMONG_HITS]["before"] is None, "no list hit before"
    assert as_text(rows)


def test_lists_of_one_user_are_resampled_together():
    lists = paying(200)
    first, turned = np.tile(np.arange(5), (200, 1)), np.tile(np.arange(1, 6), (200, 1))
    stages = [("before", first), ("after", turned)]

    def width(users):
        row = next(r for r in table(lists, stages, users=users) if r["figure"] == "ndcg@5")
        return row["ci"][1] - row["ci"][0]

    assert width(None) == width(np.arange(200))
    assert width(np.zeros(200, dtype=np.int64)) == 0, "one user alone: every resample is the same"


def test_the_table_of_no_lists_is_empty_of_figures():
    nobody = paying(4).rows(slice(0, 0))
    none = np.zeros((0, 3), dtype=np.int64)
    assert all(row["difference"] is None for row in table(nobody, [("before", none), ("after", none)]))
