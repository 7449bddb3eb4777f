import numpy as np
import pytest
import torch

from genrec.errors import TrainingError
from genrec.train.sft.finite import FiniteCheck
from tests.support.sft_runs import make_trainer


def _trainer_that_reads_later():
    """As on a GPU: torch's fused AdamW, whose numbers are read when the next step has been computed."""
    trainer = make_trainer()
    trainer.optimizer = torch.optim.AdamW(list(trainer.parameters.values()), fused=True)
    trainer.finite = FiniteCheck(trainer.optimizer, torch.device("cpu"))
    trainer.finite.later = True
    return trainer


def _weights(trainer):
    return [p.detach().clone() for p in trainer.parameters.values()]


@pytest.mark.parametrize("ends", ["step", "settle"])
def test_a_step_that_is_read_later_has_changed_no_weight_when_it_is_not_finite(ends):
    trainer = _trainer_that_reads_later()
    trainer.state.step = 1
    trainer.step(np.arange(4), 0.1)
    name, parameter = next(iter(trainer.parameters.items()))
    with torch.no_grad():
        parameter[0] = torch.inf  # the row of BOS
    before, counted = _weights(trainer), [s["step"].item() for s in trainer.optimizer.state.values()]
    trainer.state.step = 2
    trainer.step(np.arange(4), 0.1)  # tells nothing yet
    trainer.state.step = 3
    with pytest.raises(TrainingError, match=r"sft: loss nan.* at step 2 "):
        trainer.finite.settle() if ends == "settle" else trainer.step(np.arange(4), 0.1)
    assert all(torch.equal(a, b) for a, b in zip(_weights(trainer), before, strict=True)), name
    assert [s["step"].item() for s in trainer.optimizer.state.values()] == counted


def test_steps_that_are_read_later_are_those_that_are_read_at_once():
    trainers = [make_trainer(), _trainer_that_reads_later()]
    trainers[0].optimizer = torch.optim.AdamW(list(trainers[0].parameters.values()), fused=True)
    trainers[0].finite = FiniteCheck(trainers[0].optimizer, torch.device("cpu"))
    for trainer in trainers:
        torch.manual_seed(0)
        for start in (0, 8, 16):
            trainer.step(np.arange(start, start + 8), 0.01)
        trainer.finite.settle()
    for a, b in zip(*(_weights(t) for t in trainers), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert trainers[0].finite.loss == trainers[1].finite.loss


def test_there_is_no_loss_to_show_before_one_was_read():
    trainer = _trainer_that_reads_later()
    trainer.step(np.arange(8), 0.01)
    assert trainer.finite.loss is None
    trainer.step(np.arange(8, 16), 0.01)
    assert trainer.finite.loss is not None
