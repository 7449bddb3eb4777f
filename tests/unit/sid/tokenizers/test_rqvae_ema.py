"""The moving-average RQ-VAE: its averages against hand arithmetic, and what spreading the last level does."""

import dataclasses

import numpy as np
import pytest
import torch

from genrec.errors import TrainingError
from genrec.sid.quality import collision_rate, perplexity
from genrec.sid.tokenizers import rqvae_ema
from genrec.sid.tokenizers.rqvae_ema import Config
from tests.support.sid_samples import clustered

SMALL = Config(latent_dim=8, hidden_dims=(32,), epochs=40, warmup_epochs=10, batch_size=128, eval_every=10)


VECTORS = clustered(600, 16, 60, seed=0)


def fit(options=SMALL, vectors=VECTORS, progress=lambda *a, **k: None):
    return rqvae_ema.fit(vectors, num_levels=3, num_codes=16, options=options, seed=0, device="cpu", progress=progress)


def trainer_of(options=SMALL, num_codes=2):
    trainer = rqvae_ema._AverageTrainer(VECTORS, 1, num_codes, options, 0, torch.device("cpu"))
    trainer.start_codebooks()
    return trainer


def test_a_codebook_is_the_moving_average_of_what_chose_it():
    options = dataclasses.replace(SMALL, decay=0.75, smoothing=1.0, latent_dim=1, last_level="nearest")
    trainer = trainer_of(options)
    trainer.counts, trainer.sums = torch.tensor([[4.0, 4.0]]), torch.tensor([[[8.0], [40.0]]])
    trainer._average(0, torch.tensor([0, 0, 0, 1]), torch.tensor([[1.0], [2.0], [6.0], [20.0]]))
    counts = [0.75 * 4 + 0.25 * 3, 0.75 * 4 + 0.25 * 1]
    sums = [0.75 * 8 + 0.25 * 9, 0.75 * 40 + 0.25 * 20]
    total = sum(counts)
    smoothed = [(c + 1) / (total + 2) * total for c in counts]
    assert trainer.counts[0].tolist() == pytest.approx(counts)
    assert trainer.codebooks[0, :, 0].tolist() == pytest.approx([s / n for s, n in zip(sums, smoothed, strict=True)])


def test_codes_hardly_chosen_are_moved_to_items_with_fresh_averages():
    trainer = trainer_of(dataclasses.replace(SMALL, last_level="nearest"), num_codes=16)
    trainer.counts[0, 5] = 0
    kept = trainer.codebooks.clone()
    trainer.revive()
    assert (trainer.codebooks != kept).any(dim=2).nonzero().tolist() == [[0, 5]]
    latents = trainer.encoder(trainer.table)
    assert (latents - trainer.codebooks[0, 5]).abs().sum(1).min() < 1e-6
    torch.testing.assert_close(trainer.sums[0, 5] / trainer.counts[0, 5], trainer.codebooks[0, 5])


def test_training_reconstructs_better_than_its_start():
    seen = []
    fit(progress=lambda d, t, n="", /, **values: seen.append(values))
    errors = [v["reconstruction_error"] for v in seen if v]
    assert errors[-1] < errors[0]


def test_spreading_the_last_level_evens_its_use_and_parts_what_collided():
    spread, nearest = fit(), fit(dataclasses.replace(SMALL, last_level="nearest"))
    raw, plain = spread.encode_catalogue(VECTORS), nearest.encode_catalogue(VECTORS)
    assert perplexity(spread.encode(VECTORS))[-1] > perplexity(plain)[-1]
    assert collision_rate(raw) < 0.2 * collision_rate(plain)
    np.testing.assert_array_equal(plain, nearest.encode(VECTORS))
    np.testing.assert_array_equal(raw[:, :-1], spread.encode(VECTORS)[:, :-1])


def test_equal_items_stay_together_when_others_are_spread():
    vectors = np.concatenate([VECTORS[:100], VECTORS[:3], VECTORS[:3]])
    codes = fit(vectors=vectors).encode_catalogue(vectors)
    for i in range(3):
        assert len(np.unique(codes[[i, 100 + i, 103 + i]], axis=0)) == 1


def test_new_items_of_a_spread_tokenizer_follow_its_prices():
    tokenizer = fit()
    prices = tokenizer.tensors()["prices"].numpy()
    assert np.ptp(prices[-1]) > 0
    assert not prices[:-1].any()


def test_a_loss_that_is_not_finite_stops_with_the_place():
    vectors = VECTORS.copy()
    vectors[17] = np.nan
    with pytest.raises(TrainingError, match=r"sid \(rqvae_ema\): the loss is nan in epoch 1, batch 1"):
        fit(vectors=vectors)
