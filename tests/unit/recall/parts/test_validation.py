"""Validation of channels: the sample of users, and the figures."""

from types import SimpleNamespace

import numpy as np
import pytest

from genrec.metrics import ndcg
from genrec.recall.parts.channel import ZeroScorer
from genrec.recall.parts.scorer import Held
from genrec.recall.parts.validation import sample, validate


def test_the_sample_is_that_of_a_models_validation():
    held = Held([np.array([i]) for i in range(50)], np.arange(50, dtype=np.int32))
    rows = np.sort(np.random.default_rng(0).permutation(50)[:7])
    assert sample(held, 7).targets.tolist() == rows.tolist()
    assert [h.tolist() for h in sample(held, 7).histories] == [[row] for row in rows]
    assert sample(held, 50).targets.tolist() == list(range(50))
    assert sample(held, 0) is sample(None, 5) is None


def test_a_validation_figure_leaves_out_the_items_of_the_history():
    scores = SimpleNamespace(num_items=4, scores=lambda histories: np.tile(np.array([4, 3, 2, 1], np.float32), (2, 1)))
    held = Held([np.array([0]), np.array([0, 2])], np.array([2, 2], dtype=np.int32))
    assert validate(scores, held) == (0.5, pytest.approx(ndcg(np.array([1]), 10)[0] / 2))  # a seen target is no hit
    assert validate(ZeroScorer(4), held)[0] == 0.5
