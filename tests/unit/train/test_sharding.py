"""What a trainer asks of its weights where nothing is divided."""

import torch

from genrec.train.sharding import Sharding
from tests.support.sft_runs import CONFIG, distance, make_trainer


def current(sharding: Sharding) -> dict[str, torch.Tensor]:
    return {name: sharding.whole(name, p.detach()).clone() for name, p in sharding.parameters.items()}


def test_one_process_divides_nothing():
    sharding = make_trainer(CONFIG.model_copy(update={"sharding": "weights"})).sharding
    assert type(sharding) is Sharding
    assert [(t.part, t.counts, t.last) for t in sharding.turns([1, 2])] == [(1, True, False), (2, True, True)]
    assert (sharding.saves(True), sharding.saves(False), sharding.moves_weights) == (True, False, False)


def test_weights_held_for_a_while_step_aside():
    sharding = make_trainer().sharding
    before = current(sharding)
    with sharding.holding({name: torch.ones_like(p) for name, p in sharding.parameters.items()}):
        assert all((p == 1).all() for p in sharding.parameters.values())
    assert distance(current(sharding), before) == 0
