"""Content similarity: known answers."""

import numpy as np

from genrec.recall.parts.scorer import Training
from tests.support.recall_tiny import TRAIN, fitted


def test_content_ranks_by_the_cosine_of_texts_cold_items_too():
    vectors = np.array([[1, 0], [2, 0.2], [0, 1], [-1, 0], [0, 0], [1, 1]], dtype=np.float32)
    scorer = fitted("content", data=Training(TRAIN, 6, vectors=vectors))
    cosine = [0, 2 / np.hypot(2, 0.2), 0, 0, 0, 1 / np.sqrt(2)]  # not itself, nothing for an opposite or no text
    np.testing.assert_allclose(scorer.scores([[0]])[0], cosine, rtol=1e-5)
