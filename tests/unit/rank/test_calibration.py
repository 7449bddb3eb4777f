import numpy as np
import pytest
from scipy.special import expit

from genrec.rank.calibration import fit_curve


def test_a_planted_curve_is_found():
    generator = np.random.default_rng(0)
    scores = generator.normal(3, 2, size=100_000).astype(np.float32)
    label = (generator.random(len(scores)) < expit(1.5 * scores - 6)).astype(np.float32)
    curve = fit_curve(scores, label)
    assert (curve.slope, curve.intercept) == (pytest.approx(1.5, abs=0.05), pytest.approx(-6, abs=0.2))
    assert curve.probability(np.array([4.0])) == pytest.approx([0.5], abs=0.03)


@pytest.mark.parametrize(
    ("scores", "label", "rate"),
    [([0.0, 1.0], [0, 0], 1 / 4), ([2.0, 2.0], [0, 1], 1 / 2), ([], [], 1 / 2)],
)
def test_where_nothing_can_be_fitted_the_curve_is_flat(scores, label, rate):
    curve = fit_curve(np.array(scores), np.array(label, dtype=np.float32))
    assert curve.probability(np.array([-1e9, 1e9])) == pytest.approx([rate, rate])
