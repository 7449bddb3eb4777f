import pytest
import torch

from genrec.errors import DataError
from genrec.train.averaging import WeightAverage
from genrec.train.sft.state import SftState
from genrec.train.state import State


def test_early_stopping_returns_the_best_weights():
    parameters = {"w": torch.nn.Parameter(torch.zeros(1))}
    state = State()
    for epoch, ndcg in enumerate([0.1, 0.3, 0.2, 0.25], start=1):
        state.step = 10 * epoch
        with torch.no_grad():
            parameters["w"].fill_(float(epoch))
        assert state.stop_reason is None
        state.validated(epoch, 0.5, ndcg, parameters, patience=2)
    assert state.stop_reason == "patience"
    assert (state.best_step, state.best_epoch, state.best_ndcg) == (20, 2, 0.3)
    state.restore_best(parameters, otherwise={})
    assert parameters["w"].item() == 2.0


def test_a_run_resumes_with_everything_its_state_held(tmp_path):
    def start():
        torch.manual_seed(0)
        parameters = {"w": torch.nn.Parameter(torch.ones(3)), "b": torch.nn.Parameter(torch.zeros(1))}
        return parameters, torch.optim.AdamW(parameters.values(), lr=0.1)

    parameters, optimizer = start()
    (parameters["w"].sum() + parameters["b"]).backward()
    optimizer.step()
    state = SftState(step=4, epoch=1, batch=2, window_losses=torch.tensor([0.5, 2.0]))
    state.average = WeightAverage.of(parameters)
    state.validated(0.4, 0.2, 0.1, parameters, patience=3)
    state.save(tmp_path, parameters, optimizer)
    drawn = torch.rand(2)

    again, other = start()
    resumed = SftState.resume(tmp_path, again, other)
    assert torch.equal(torch.rand(2), drawn)
    assert torch.equal(resumed.window_losses, state.window_losses)
    assert resumed.rows == state.rows == [(4, 0.4, "valid_hr@10", 0.2), (4, 0.4, "valid_ndcg@10", 0.1)]
    plain = ("step", "epoch", "batch", "best_hr", "best_ndcg", "best_step", "best_epoch", "bad_validations")
    assert [getattr(resumed, name) for name in plain] == [getattr(state, name) for name in plain]
    for name, weight in parameters.items():
        for found in (again[name], resumed.best_weights[name], resumed.average.tensors[name]):
            assert torch.equal(found, weight)
    assert torch.equal(other.state[again["w"]]["exp_avg"], optimizer.state[parameters["w"]]["exp_avg"])
    assert SftState.resume(tmp_path / "none", again, other) is None


def test_a_checkpoint_of_another_model_or_version_is_refused(tmp_path):
    parameters = {"w": torch.nn.Parameter(torch.zeros(2))}
    optimizer = torch.optim.SGD(parameters.values(), lr=0.1)
    State().save(tmp_path, parameters, optimizer)
    for others, kind in (({"w": torch.nn.Parameter(torch.zeros(3))}, State), (parameters, SftState)):
        with pytest.raises(DataError, match="another model or version; delete it to start over"):
            kind.resume(tmp_path, others, optimizer)
