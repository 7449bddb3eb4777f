"""Steps of re-ranking in the config: names are short for steps, options are checked, sorting steps come first."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from genrec.config.rank import RankConfig
from genrec.rank.rerank.parts import steps
from tests.support.rerank_tiny import paying


def test_a_name_is_a_step_with_default_options():
    chosen = RankConfig(rerank=["fusion", {"name": "mmr", "options": {"relevance_weight": 0.5}}]).rerank
    assert [step.name for step in chosen] == ["fusion", "mmr"]
    assert chosen[0].options["aims"] == {"purchase": 1.0}
    assert chosen[1].options == {"relevance_weight": 0.5}
    assert RankConfig().rerank == []


def test_a_step_that_sorts_may_not_undo_one_before_it():
    with pytest.raises(ValidationError, match="fusion sorts by scores and would undo mmr: put it before"):
        RankConfig(rerank=["mmr", "fusion"])
    assert len(RankConfig(rerank=["fusion", "ddpg", "caps"]).rerank) == 3


@pytest.mark.parametrize("name", ["fusion", "ddpg"])
def test_an_aim_that_nothing_measures_is_refused(name):
    with pytest.raises(ValidationError):
        RankConfig(rerank=[{"name": name, "options": {"aims": {"luck": 1.0}}}])


def test_the_example_of_the_page_is_valid_and_its_steps_can_be_tuned():
    page = (Path(__file__).parents[3] / "docs" / "ranking.md").read_text()
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    chosen = [(step.name, step.options) for step in RankConfig(**example["rank"]).rerank]
    chosen[0][1].update(search="cem", evaluations=20)
    tuned = steps.tune(chosen, paying(50), 5, 0)
    assert [step.name for step in tuned.steps] == ["fusion", "mmr", "caps", "rules"]
    assert tuned.steps[3].reranker.rules[1].in_stock is False
