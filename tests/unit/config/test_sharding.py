"""A division that gives nothing or cannot work is refused before anything runs, with the setting to change."""

import pytest

from genrec.config.load import load_config
from genrec.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["sft.sharding=weights"], r"sft.*sft\.data_parallel is 1.*set sft\.data_parallel to the number of GPUs"),
        (["rl.sharding=optimizer"], r"rl.*rl\.num_learners is 1.*set rl\.num_learners"),
        (
            ["sft.sharding=gradients", "sft.data_parallel=2", "sft.optimizer=paged_adamw_8bit"],
            r"set sft\.optimizer to adamw",
        ),
        (
            ["sft.sharding=weights", "sft.data_parallel=2", "sft.adapter=qlora"],
            r"set sft\.sharding to gradients.*or sft\.adapter to lora",
        ),
        (["rl.sharding=weights", "rl.num_learners=2", "sft.adapter=qlora"], r"set rl\.sharding to gradients"),
        (
            ["rl.sharding=weights", "rl.num_learners=2", "resources.rl.num_gpus=0.5"],
            r"set resources\.rl\.num_gpus to 1",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_with_the_alternative(settings, said):
    with pytest.raises(ConfigError, match=said):
        load_config([], settings)


def test_a_division_among_processes_with_a_gpu_each_is_taken():
    settings = ["sft.sharding=weights", "sft.data_parallel=4", "resources.sft.num_gpus=1", "sft.adapter=lora"]
    assert load_config([], settings).sft.sharding == "weights"
    assert load_config([], [*settings, "sft.adapter=qlora", "sft.sharding=gradients"]).sft.adapter == "qlora"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["sft.view.name=sid_tokens", "sft.view.options.chat=true"], r"set sft\.view\.options\.instruction"),
        (
            ["sft.adapter=ptuning_v2", "sft.prefix_projection=8", "service.keep=[vectors, ids, weights]"],
            r"set sft\.prefix_projection to null",
        ),
    ],
)
def test_what_cannot_work_later_is_refused_before_anything_runs(settings, said):
    with pytest.raises(ConfigError, match=said):
        load_config([], settings)
