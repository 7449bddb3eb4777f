import pytest
import torch

from genrec.train.averaging import WeightAverage


def test_averaged_weights_follow_their_formula():
    parameters = {"w": torch.nn.Parameter(torch.zeros(2))}
    average = WeightAverage.of(parameters)
    expected = 0.0
    for step in range(1, 40):
        with torch.no_grad():
            parameters["w"].fill_(float(step))
        average.update(parameters, step, 0.7)
        decay = min(0.7, step / (step + 10))
        expected = decay * expected + (1 - decay) * step
    assert average.tensors["w"].tolist() == pytest.approx([expected] * 2)
