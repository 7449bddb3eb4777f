import pytest

from genrec.config.load import load_config
from genrec.errors import ConfigError


def test_one_channel_is_set_and_the_others_stay():
    rank = load_config([], ["rank.channels.itemcf=100", "rank.channels.als=0"]).rank
    assert (rank.channels["itemcf"], rank.channels["als"], rank.channels["generator"]) == (100, 0, 50)


def test_a_channel_that_there_is_not_is_named_with_the_one_that_was_meant():
    with pytest.raises(ConfigError, match=r"channels: there is no 'itemcff' \(did you mean itemcf\?\)"):
        load_config([], ["rank.channels.itemcff=100"])


def test_a_ranker_is_chosen_by_its_name_alone_and_its_options_are_completed():
    rank = load_config([], ["rank.ranker=xgboost", "rank.ranker.options.objective=pairwise"]).rank
    assert rank.ranker.options["objective"] == "pairwise"
    assert rank.ranker.options["num_rounds"] > 0
    with pytest.raises(ConfigError, match="unknown setting"):
        load_config([], ["rank.ranker.options.num_experts=2"])


def test_all_channels_left_out_is_refused():
    names = load_config([]).rank.channels
    with pytest.raises(ConfigError, match="all are left out"):
        load_config([], [f"rank.channels.{name}=0" for name in names])
