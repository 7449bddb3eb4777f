"""Rules pin, boost and bury what meets their conditions; what the data cannot answer is counted."""

import numpy as np
import pytest
from pydantic import ValidationError

from genrec.config.section import options_model
from genrec.rank.rerank import PACKAGE, rules
from genrec.rank.rerank.parts.lists import ItemFacts, Lists

FACTS = ItemFacts(
    category=np.array([0, 0, 1, 1, 0]),
    brand=np.array([0, 1, 0, 1, -1]),
    category_names=("tea", "tents"),
    brand_names=("Kestrel", "Moss"),
    in_stock=np.array([True, True, True, False, True]),
)


def order(*given, facts=FACTS, aims=None):
    item = np.array([[0, 1, 2, 3, 4, -1]])
    made = Lists(item, np.zeros((1, 6), dtype=np.float32), aims or {}, facts)
    result = rules.Rules(rules.Config([rules.Rule(**rule) for rule in given])).rerank(made, 5)
    return result.order[0, :5].tolist(), dict(result.warnings)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"action": "pin", "category": "tents"}, [2, 0, 1, 3, 4]),
        ({"action": "pin", "category": "tents", "count": 2, "at": 2}, [0, 2, 3, 1, 4]),
        ({"action": "pin", "brand": "Moss", "at": 99}, [0, 2, 3, 4, 1]),
        ({"action": "boost", "category": "tents", "places": 1}, [0, 2, 3, 1, 4]),
        ({"action": "boost", "in_stock": False}, [3, 0, 1, 2, 4]),
        ({"action": "bury", "brand": "Kestrel", "places": 2}, [1, 3, 0, 4, 2]),
        ({"action": "bury", "category": "tea", "brand": "Kestrel"}, [1, 2, 3, 4, 0]),
    ],
)
def test_one_rule(rule, expected):
    assert order(rule) == (expected, {})


def test_rules_apply_in_turn():
    assert order({"action": "bury", "category": "tea"}, {"action": "pin", "brand": "Moss"})[0] == [3, 2, 0, 1, 4]


def test_new_items_are_those_of_the_aim():
    new = {"new": np.array([[0, 0, 0, 1, 0, np.nan]], dtype=np.float32)}
    assert order({"action": "boost", "new": True}, aims=new) == ([3, 0, 1, 2, 4], {})


@pytest.mark.parametrize(
    ("rule", "warning"),
    [
        ({"action": "pin", "category": "boats"}, "no category boats"),
        ({"action": "boost", "new": True}, "unknown new"),
    ],
)
def test_a_condition_that_the_data_cannot_answer_matches_nothing_and_is_counted(rule, warning):
    assert order(rule) == ([0, 1, 2, 3, 4], {warning: 1})


@pytest.mark.parametrize(
    "rule", [{"action": "pin"}, {"action": "hide", "new": True}, {"action": "pin", "new": True, "at": 0}, {"new": True},
             {"action": "pin", "new": True, "wehn": 1}],
)  # fmt: skip
def test_the_config_refuses_a_rule_without_a_condition_or_with_an_unknown_word(rule):
    with pytest.raises(ValidationError):
        options_model(PACKAGE, "rules").model_validate({"rules": [rule]})
