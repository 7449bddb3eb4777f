"""What fits where, from stages whose memory is known."""

from types import SimpleNamespace

import pytest

from genrec.errors import ConfigError
from genrec.plan import report
from genrec.plan.gpus import GIB, GPUS, gpu, needed
from genrec.plan.memory import ACTIVATIONS, GRADIENTS, OPTIMIZER, TRAINED, WEIGHTS
from genrec.plan.sharding import Layers, per_process

KINDS = {WEIGHTS: 8 * GIB, TRAINED: 4 * GIB, GRADIENTS: 4 * GIB, OPTIMIZER: 8 * GIB, ACTIVATIONS: 2 * GIB}
LAYERS = Layers(largest=GIB // 4, outside=GIB // 2)


def stage(kinds, batch=16, name="sft", setting="sft.micro_batch_size"):
    process = SimpleNamespace(name="training", kinds=kinds, layers=LAYERS, peak=sum(kinds.values()))
    return SimpleNamespace(name=name, setting=setting, batch=batch, processes=[process], parts=[], notes=[], shared=0)


@pytest.mark.parametrize(
    ("sharding", "wanted"),
    [
        ("none", 26),
        ("optimizer", 8 + 4 + 4 + 2 + (4 + 4 + 8) / 4),
        ("gradients", 8 + 4 + 0.25 + 2 + (4 + 4 + 8) / 4),
        ("weights", 0.5 + 0.75 + 2 + (8 + 4 + 4 + 8) / 4),
    ],
)
def test_a_process_holds_less_the_more_is_divided(sharding, wanted):
    assert per_process(KINDS, sharding, 4, LAYERS) / GIB == pytest.approx(wanted)
    assert per_process(KINDS, sharding, 1, LAYERS) == sum(KINDS.values())
    halved = per_process(KINDS, sharding, 4, LAYERS, micro_batch=128, batch=256)
    assert (per_process(KINDS, sharding, 4, LAYERS) - halved) / GIB == pytest.approx(1)


def test_the_fewest_processes_are_named_with_the_least_that_has_to_be_divided():
    fit = report._fit(stage(KINDS), GPUS[24], ["none", "optimizer", "gradients", "weights"])
    assert fit == {"processes": 4, "sharding": "gradients"} or fit["processes"] > 1
    for mode in ("optimizer", fit["sharding"]):
        share = per_process(KINDS, mode, fit["processes"], LAYERS)
        assert (needed(share) <= GPUS[24].memory_bytes) == (mode == fit["sharding"])
    assert report._fit(stage(KINDS), GPUS[40], ["none"]) == {"processes": 1}
    assert report._fit(stage(KINDS, name="evaluate"), GPUS[24], ["none"]) == {"processes": None}


def test_the_warning_names_the_largest_batch_that_fits():
    asked = []

    def measure(batch):
        asked.append(batch)
        return stage({WEIGHTS: 10 * GIB, ACTIVATIONS: batch * GIB}, batch)

    told = report._warning(measure(128), measure, GPUS[40])
    largest = int(told.rsplit(" ", 1)[1])
    assert told.startswith("sft.micro_batch_size 128 needs 145.5 GiB of the 39.4 GiB of A100 40 GB")
    assert needed((10 + largest) * GIB) <= GPUS[40].memory_bytes < needed((10 + largest + 2) * GIB)
    assert len(asked) <= 4
    nothing = report._warning(stage({WEIGHTS: 90 * GIB}), lambda _: stage({WEIGHTS: 90 * GIB}, 1), GPUS[40])
    assert "no smaller one fits either" in nothing


def test_an_unknown_size_is_refused_with_those_that_are_known():
    with pytest.raises(ConfigError, match=r"--gpu 64: .* known: 24, 40, 80, 141"):
        gpu(64)
