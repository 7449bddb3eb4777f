"""What a score is made of: shares, and which parts stand in a report as models of their own."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.measure import score_parts

SHARE = st.floats(0, 1)
ALL = ("ids", "dense", "transitions")


def model(weight, share=0.0, table=True):
    """What is asked of a policy: with a dense head unless `weight` is None, and a table of transitions."""
    items = None if weight is None else SimpleNamespace(transitions=object() if table else None)
    return SimpleNamespace(dense_weight=weight, transition_share=share, items=items)


@given(SHARE, SHARE)
def test_the_shares_of_a_score_add_up_to_one_and_are_those_of_the_parts(weight, share):
    shares = score_parts.shares(model(weight, share))
    assert tuple(shares) == ALL
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert shares["ids"] == pytest.approx(1 - weight, abs=1e-5)


@pytest.mark.parametrize(
    ("served", "parts"),
    [
        (model(0.5, 0.3), ALL),
        (model(0.9, 0.0), ALL),
        (model(0.5, table=False), ("ids", "dense")),
        (model(0.0, 0.3), ("dense", "transitions")),
        (model(1.0, 0.0), ("ids", "transitions")),
        (model(1.0, table=False), ("ids",)),
        (model(1.0, 1.0), ("ids", "dense")),
        (model(None), ()),
    ],
)
def test_a_part_that_is_the_whole_score_is_not_repeated(served, parts):
    assert tuple(score_parts.alone(served, ALL)) == parts
    assert tuple(score_parts.alone(served, ["dense"])) == tuple(set(parts) & {"dense"})


@given(SHARE, SHARE)
def test_a_part_alone_has_all_of_the_score(weight, share):
    for part, scoring in score_parts.alone(served := model(weight, share), ALL).items():
        score_parts.use(served, scoring)
        assert {name for name, of_part in score_parts.shares(served).items() if of_part} == {part}
        assert score_parts.shares(served)[part] == 1
