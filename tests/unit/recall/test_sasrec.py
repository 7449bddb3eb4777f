"""SASRec: early stopping, windows, and what it can learn."""

import numpy as np
import pytest
import torch

from genrec.errors import ConfigError
from genrec.recall.parts.ranking import rank
from genrec.recall.parts.scorer import Held, Training
from genrec.recall.parts.validation import validate
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
    assert validate(scorer, held)[1] == pytest.approx(max(seen), abs=1e-9)


def test_the_vectors_that_are_kept_are_those_of_the_weights_that_are_kept(monkeypatch):
    sequences = two_camps(20)
    held = Held([s[:3] for s in sequences], np.array([s[3] for s in sequences], dtype=np.int32))
    figures = []
    options = {"text": False, "epochs": 6, "batch_size": 8, "learning_rate": 0.05}

    def listen(done, total, note="", /, **values):
        figures.extend([values["valid_ndcg@10"]] if "valid_ndcg@10" in values else [])

    kept = fitted("sasrec", data=Training(sequences, 12, validation=held, progress=listen), **options)
    monkeypatch.setattr("genrec.recall.parts.sasrec_training.TrainedSasRec.keep_vectors", lambda self, kept=True: None)
    before, figures = figures, []
    made_anew = fitted("sasrec", data=Training(sequences, 12, validation=held, progress=listen), **options)
    assert figures == before
    assert np.array_equal(kept.scores(sequences), made_anew.scores(sequences))


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


def test_the_sampled_loss_is_the_softmax_over_the_target_and_the_negatives():
    from genrec.recall.parts.sasrec_network import SasRec
    from genrec.recall.parts.sasrec_training import next_item_loss

    torch.manual_seed(0)
    model = SasRec(9, torch.randn(9, 3), hidden_size=4, num_layers=1, num_heads=1, max_history=4, dropout=0.0).eval()
    items, real = np.array([[1, 2, 5], [3, 8, 0]]), np.array([[True, True, True], [True, True, False]])
    negatives = np.array([2, 7, 7, 0])
    with torch.no_grad():
        sampled = next_item_loss(model, items, real, negatives)
        vectors = model.item_vectors()
        hidden = model(torch.from_numpy(items)[:, :-1], vectors)
        expected = []
        for row, place, target in ((0, 0, 2), (0, 1, 5), (1, 0, 8)):
            logits = vectors @ hidden[row, place]
            classes = [target, *(n for n in negatives if n != target)]
            expected.append(-torch.log_softmax(logits[classes], dim=0)[0])
        assert sampled == pytest.approx(np.mean(expected), rel=1e-5)
        everything = next_item_loss(model, items, real, np.arange(9))
        assert everything == pytest.approx(next_item_loss(model, items, real).item(), rel=1e-5)


def test_sasrec_learns_from_sampled_negatives():
    options = {"text": False, "epochs": 12, "batch_size": 16, "negatives": 8}
    items, _ = rank(
        fitted("sasrec", two_camps(), 12, **options), [np.array([0, 1]), np.array([7, 8])], 4, drop_seen=True
    )
    assert [set(row) for row in items.tolist()] == [{2, 3, 4, 5}, {6, 9, 10, 11}]


def test_sasrec_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ConfigError, match="num_heads 3 must divide hidden_size 8"):
        fitted("sasrec", hidden_size=8, num_heads=3)
