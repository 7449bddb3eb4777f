"""The rules of an event."""

import pytest

from genrec.event_log import BadEvent, Event

GOOD = {"user_id": "u1", "item_id": "i1", "event": "click"}
T_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    "more", [{}, {"timestamp": T_MS}, {"event_id": "a-1"}, {"request_id": "r"}, {"user_id": "ü 1"}]
)
def test_a_good_event_is_made(more):
    assert Event(**{**GOOD, **more}).item_id == "i1"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("user_id", "", "empty"),
        ("user_id", " ", "empty"),
        ("user_id", 7, "text is meant, not 7"),
        ("user_id", None, "text is meant"),
        ("item_id", " i", "blanks"),
        ("item_id", "a\nb", "control character"),
        ("item_id", "a\x00b", "control character"),
        ("item_id", "\ud800", "control character"),
        ("item_id", "x" * 513, "more than 512"),
        ("event", "Click", "small letters"),
        ("event", "", "small letters"),
        ("event", ["click"], "small letters"),
        ("event_id", "", "empty"),
        ("request_id", 3, "text is meant"),
        ("timestamp", True, "whole milliseconds"),
        ("timestamp", 1.5, "whole milliseconds"),
        ("timestamp", "2024-01-01", "whole milliseconds"),
        ("timestamp", T_MS // 1000, "looks like seconds"),
        ("timestamp", -1, "between 1990 and 2100"),
        ("timestamp", 10**19, "between 1990 and 2100"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(field, value, says):
    with pytest.raises(BadEvent, match=says) as error:
        Event(**{**GOOD, field: value})
    assert error.value.field == field
    assert str(error.value).startswith(f"{field}: ")
