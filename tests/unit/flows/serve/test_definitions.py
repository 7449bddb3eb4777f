"""What a deployment becomes when the project's definition and its users both changed it."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.serve.definitions import _drop_unfit, merge

VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
DEFINITIONS = st.dictionaries(st.sampled_from("klm"), VALUES, max_size=3)


@given(DEFINITIONS, DEFINITIONS)
def test_what_nobody_set_follows_the_definition(then, now):
    assert merge(then, now, then) == now


@given(DEFINITIONS, DEFINITIONS)
def test_what_was_set_stays_while_the_definition_does_not_change(then, here):
    assert merge(then, then, here) == here


@given(DEFINITIONS, DEFINITIONS, DEFINITIONS)
def test_every_value_is_the_definition_s_or_the_server_s(then, now, here):
    merged = merge(then, now, here)
    assert set(merged) <= {*now, *here}
    for name in merged.keys() & here.keys():
        if here[name] != then.get(name, object()) and not isinstance(here[name], dict):
            assert merged[name] == here[name]


@pytest.mark.parametrize(
    ("then", "now", "here", "merged"),
    [
        ({"seed": 0}, {"seed": 1}, {"seed": 7}, {"seed": 7}),  # changed on both sides: the user's
        ({"seed": 0}, {"seed": 0, "new": 1}, {"seed": 7}, {"seed": 7, "new": 1}),
        ({"old": 1, "seed": 0}, {"seed": 0}, {"old": 1, "seed": 7}, {"seed": 7}),
        ({"a": True, "b": True}, {"a": True, "b": True}, {"a": True}, {"a": True}),  # a tag that was removed
        (
            {"nightly": {"time": ["0 3"], "active": False}},
            {"nightly": {"time": ["0 4"], "active": False}},
            {"nightly": {"time": ["0 3"], "active": True}, "mine": {"time": ["0 5"]}},
            {"nightly": {"time": ["0 4"], "active": True}, "mine": {"time": ["0 5"]}},
        ),
    ],
)
def test_both_changes_arrive(then, now, here, merged):
    assert merge(then, now, here) == merged


def test_parameters_that_the_form_does_not_take_are_removed_and_named_without_their_value():
    schema = {
        "type": "object",
        "properties": {"seed": {"type": "integer", "minimum": 0}, "preset": {"enum": ["a"]}, "path": {}},
        "if": {"properties": {"seed": {"const": 3}}, "minProperties": 2},
        "then": {"properties": {"path": {"const": "empty"}}},
    }
    deployment = SimpleNamespace(name="retrain", _parameter_openapi_schema=SimpleNamespace(model_dump=lambda: schema))
    merged = {
        "parameters": {"seed": 3, "preset": "canary", "gone": 1, "path": "canary"},
        "schedules": {"nightly": {"parameters": {"seed": -1, "gone": 1}}},
    }
    notes = _drop_unfit(deployment, merged)
    assert merged == {"parameters": {"seed": 3}, "schedules": {"nightly": {"parameters": {"seed": -1, "gone": 1}}}}
    refused = "retrain: a schedule has parameter {}, and its runs will be refused: the form {} any more"
    assert notes == [
        "retrain: parameter preset was removed: the form does not take its value any more",
        "retrain: parameter gone was removed: the form has no such field any more",
        "retrain: parameter path was removed: it contradicts another one",
        refused.format("seed", "does not take its value"),
        refused.format("gone", "has no such field"),
    ]
    assert "canary" not in "".join(notes)
