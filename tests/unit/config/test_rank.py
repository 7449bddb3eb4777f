"""Settings of the rank stage: off by default, channels over their defaults, unknown names refused with what there is."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from genrec.config import Config
from genrec.config.load import load_config
from genrec.config.rank import RankConfig


def test_ranking_is_off_unless_asked_for():
    assert not Config().rank.enabled


def test_the_overlay_for_a_gpu_gives_one_to_ranking():
    rank = load_config([Path(__file__).parents[3] / "conf" / "a100.yaml"]).resources.rank
    assert (rank.num_cpus, rank.num_gpus) == (4, 1)


def test_channels_that_are_not_written_keep_their_defaults():
    config = RankConfig(channels={"als": 0})
    assert config.channels["als"] == 0
    assert config.channels["generator"] == 50
    assert set(config.voters) <= set(config.channels)


@pytest.mark.parametrize("field", ["channels", "voters"])
def test_an_unknown_channel_is_refused(field):
    with pytest.raises(ValidationError, match="luck"):
        RankConfig(**{field: {"luck": 3} if field == "channels" else ["luck"]})
