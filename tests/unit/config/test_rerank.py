"""Steps of re-ranking in the config: names are short for steps, options are checked, sorting steps come first."""

import pytest
from pydantic import ValidationError

from genrec.config.rank import RankConfig


def test_a_name_is_a_step_with_default_options():
    steps = RankConfig(rerank=["fusion", {"name": "mmr", "options": {"relevance_weight": 0.5}}]).rerank
    assert [step.name for step in steps] == ["fusion", "mmr"]
    assert steps[0].options["aims"] == {"purchase": 1.0}
    assert steps[1].options == {"relevance_weight": 0.5}
    assert RankConfig().rerank == []


def test_a_step_that_sorts_may_not_undo_one_before_it():
    with pytest.raises(ValidationError, match="fusion sorts by scores and would undo mmr: put it before"):
        RankConfig(rerank=["mmr", "fusion"])
    assert len(RankConfig(rerank=["fusion", "ddpg", "caps"]).rerank) == 3


@pytest.mark.parametrize("name", ["fusion", "ddpg"])
def test_an_aim_that_nothing_measures_is_refused(name):
    with pytest.raises(ValidationError):
        RankConfig(rerank=[{"name": name, "options": {"aims": {"luck": 1.0}}}])
