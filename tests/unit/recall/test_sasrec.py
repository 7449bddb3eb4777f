"""SASRec: early stopping, windows, and what it can learn."""

import numpy as np
import pytest

from genrec.errors import ConfigError
from genrec.recall.parts.ranking import rank
from genrec.recall.parts.scorer import Held, Training
from tests.support.recall_tiny import fitted, two_camps


def test_sasrec_stops_when_validation_no_longer_improves_and_keeps_its_best_epoch():
    sequences, seen = two_camps(20), []
    held = Held([s[:3] for s in sequences], np.array([s[3] for s in sequences], dtype=np.int32))

    def listen(done, total, note="", /, **values):
        seen.extend([values["valid_ndcg@10"]] if "valid_ndcg@10" in values else [])

    data = Training(sequences, 12, validation=held, progress=listen)
    options = {"text": False, "epochs": 60, "patience": 3, "batch_size": 8, "learning_rate": 0.05}
    scorer = fitted("sasrec", data=data, **options)
    assert len(seen) < 60
    assert len(seen) - 1 - int(np.argmax(seen)) == 3
    from genrec.recall.parts.sasrec_training import ndcg_at_10

    assert ndcg_at_10(scorer, held) == pytest.approx(max(seen), abs=1e-9)


def test_sasrec_learns_what_follows_what():
    chains = [np.arange(start, start + 5, dtype=np.int32) % 12 for start in range(12) for _ in range(8)]
    scorer = fitted("sasrec", chains, 12, text=False, epochs=40, batch_size=16, reverse_share=0.0, dropout=0.1,
                    hidden_size=16, learning_rate=0.01)  # fmt: skip
    items, _ = rank(scorer, [np.array([i, (i + 1) % 12]) for i in range(12)], 1, drop_seen=True)
    assert items[:, 0].tolist() == [(i + 2) % 12 for i in range(12)]


def test_windows_of_sasrec_hold_every_transition_once():
    from genrec.recall.parts.sasrec_training import training_windows

    windows = training_windows([np.arange(11), np.arange(1), np.arange(2)], 11, 5)
    items, real = windows.gather(np.arange(len(windows)))
    rows = [row[kept].tolist() for row, kept in zip(items, real, strict=True)]
    assert rows == [[6, 7, 8, 9, 10], [2, 3, 4, 5, 6], [0, 1, 2], [0, 1]]


def test_sasrec_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ConfigError, match="num_heads 3 must divide hidden_size 8"):
        fitted("sasrec", hidden_size=8, num_heads=3)
