"""The map to an autoencoder's inputs and back."""

import numpy as np
import pytest
import torch

from genrec.sid.quantize.inputs import Inputs
from tests.support.sid_samples import clustered

VECTORS = clustered(600, 16, 60, seed=0)


@pytest.mark.parametrize("whitening", [0.0, 0.5, 1.0])
def test_inputs_go_there_and_back(whitening):
    table = torch.from_numpy(VECTORS * np.linspace(0.1, 3, 16, dtype=np.float32) + 5)
    inputs = Inputs.of(table, whitening)
    torch.testing.assert_close(inputs.backward(inputs.forward(table)), table, rtol=1e-3, atol=1e-3)
    assert inputs.forward(table).square().mean().item() == pytest.approx(1, rel=1e-3)


def test_whitening_evens_out_the_variances_and_leaves_empty_directions_empty():
    table = torch.from_numpy(VECTORS * np.linspace(0.1, 3, 16, dtype=np.float32))
    table[:, 3] = 7.0

    def spread(whitening):
        variances = torch.linalg.eigvalsh(torch.cov(Inputs.of(table, whitening).forward(table).T))[1:]
        return float(variances.max() / variances.min())

    assert spread(1.0) == pytest.approx(1, rel=1e-2)
    assert spread(0.0) == pytest.approx(spread(0.5) ** 2, rel=0.05)
    assert Inputs.of(table, 1.0).forward(table).abs().max() < 100
