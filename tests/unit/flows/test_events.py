"""What a run tells Prefect."""

from types import SimpleNamespace

import pytest

from flows import events


@pytest.mark.parametrize(
    ("promotion", "told"),
    [
        (None, []),
        ({"promoted": True, "good_enough": True, "why": "", "in_service": "new"}, []),
        ({"promoted": False, "why": "this model is in service already", "in_service": "old"}, []),
        (
            {"promoted": False, "good_enough": False, "why": "worse", "in_service": "old"},
            [("genrec.promotion.refused", "genrec.run.new", {"why": "worse", "in_service": "old"})],
        ),
        (
            {"promoted": False, "decision": "refused", "why": "other data", "in_service": None},
            [("genrec.promotion.refused", "genrec.run.new", {"why": "other data", "in_service": "no model"})],
        ),
    ],
)
def test_a_promotion_is_told_when_a_rule_or_the_comparison_refused_it(monkeypatch, promotion, told):
    emitted = []
    monkeypatch.setattr(
        events,
        "emit_event",
        lambda event, resource, payload: emitted.append((event, resource["prefect.resource.id"], payload)),
    )
    events.tell_refused(SimpleNamespace(promotion=promotion, run_id="new"))
    assert emitted == told
