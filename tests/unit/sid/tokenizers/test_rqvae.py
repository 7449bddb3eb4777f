"""The RQ-VAE's parts and what training must achieve."""

import dataclasses

import numpy as np
import pytest
import torch

from genrec.bf16 import computes_bf16
from genrec.errors import ConfigError, TrainingError
from genrec.sid.tokenizers import rqvae
from genrec.sid.tokenizers.rqvae import Config, _GradientTrainer, quantize
from tests.support.sid_samples import clustered

SMALL = Config(latent_dim=8, hidden_dims=(32,), epochs=60, warmup_epochs=10, batch_size=128, eval_every=10)
VECTORS = clustered(600, 16, 60, seed=0)


def fit(options=SMALL, vectors=VECTORS, progress=lambda *a, **k: None):
    return rqvae.fit(vectors, num_levels=3, num_codes=16, options=options, seed=0, device="cpu", progress=progress)


def test_quantize_picks_the_nearest_code_of_each_level_and_sums_them():
    codebooks = torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    quantized = quantize(torch.tensor([[3.5, 0.9], [0.2, 0.1]]), codebooks, 0.25)
    assert quantized.codes.tolist() == [[1, 1], [0, 0]]
    torch.testing.assert_close(quantized.summed, torch.tensor([[4.0, 1.0], [0.0, 0.0]]))


def test_the_loss_is_codebook_plus_beta_times_commitment_at_each_level():
    codebooks = torch.tensor([[[1.0], [9.0]], [[0.5], [9.0]]], requires_grad=True)
    latents = torch.tensor([[2.0]], requires_grad=True)
    loss = quantize(latents, codebooks, 0.25).loss  # residuals 2 and 1, codes 1 and 0.5
    assert loss.item() == pytest.approx(1.25 * (1.0 + 0.25))
    loss.backward()
    # Codes are pulled by the codebook loss alone, the latent by beta times the commitment loss alone.
    assert codebooks.grad[:, 0, 0].tolist() == pytest.approx([2 * (1 - 2), 2 * (0.5 - 1)])
    assert latents.grad.item() == pytest.approx(0.25 * 2 * (1.0 + 0.5))


def test_training_reconstructs_better_than_its_start():
    seen = []
    tokenizer = fit(progress=lambda d, t, n="", /, **values: seen.append(values))
    errors = [v["reconstruction_error"] for v in seen if v]
    assert errors[-1] < 0.8 * errors[0]
    assert tokenizer.residual_errors(VECTORS, tokenizer.encode(VECTORS))[-1] == pytest.approx(
        min(errors, key=lambda e: abs(e - errors[-1])), rel=0.2
    )


def test_most_codes_are_in_use():
    codes = fit().encode(VECTORS)
    assert all(len(np.unique(column)) >= 14 for column in codes.T)


@pytest.mark.skipif(not computes_bf16(torch.device("cpu")), reason="this CPU would emulate bfloat16")
def test_products_in_bf16_reconstruct_as_well():
    tokenizers = [fit(dataclasses.replace(SMALL, precision=precision)) for precision in ("fp32", "bf16")]
    exact, rounded = (t.residual_errors(VECTORS, t.encode(VECTORS))[-1] for t in tokenizers)
    assert rounded == pytest.approx(exact, rel=0.1)
    assert not np.array_equal(tokenizers[0].codebooks, tokenizers[1].codebooks)


def test_bf16_is_refused_where_it_would_be_emulated(monkeypatch):
    monkeypatch.setattr("genrec.sid.quantize.autoencoder_training.computes_bf16", lambda device: False)
    with pytest.raises(ConfigError, match=r"sid.options.precision is bf16.*set it to fp32"):
        fit(dataclasses.replace(SMALL, precision="bf16"))


def test_the_best_check_is_returned():
    seen = []
    tokenizer = fit(
        dataclasses.replace(SMALL, learning_rate=0.02), progress=lambda d, t, n="", /, **values: seen.append(values)
    )
    best = min((v for v in seen if v), key=lambda v: v["collision_rate"] + v["reconstruction_error"])
    codes = tokenizer.encode(VECTORS)
    _, ids, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    assert (counts[ids.reshape(-1)] > 1).mean() == pytest.approx(best["collision_rate"], abs=1e-6)
    error = tokenizer.residual_errors(VECTORS, codes)[-1]
    assert error == pytest.approx(best["reconstruction_error"], rel=1e-3)


def test_training_stops_when_checks_bring_nothing():
    done = []
    options = dataclasses.replace(SMALL, learning_rate=1e-12, epochs=1000, patience=2)
    fit(options, progress=lambda d, t, n="", /, **values: done.append(d) if values else None)
    assert done[-1] < 200


def test_dead_codes_are_moved_to_residuals_of_items():
    trainer = rqvae._GradientTrainer(VECTORS, 2, 16, SMALL, 0, torch.device("cpu"))
    trainer.start_codebooks()
    with torch.no_grad():
        trainer.codebooks[0, 3] = 1e6
    trainer.used = torch.ones(2, 16, dtype=torch.bool)
    trainer.used[0, 3] = False
    kept = trainer.codebooks.detach().clone()
    trainer.revive()
    latents = trainer.encoder(trainer.table)
    assert (latents - trainer.codebooks[0, 3]).abs().sum(1).min() < 1e-6
    changed = (trainer.codebooks != kept).any(dim=2).nonzero().tolist()
    assert changed == [[0, 3]]
    assert not trainer.used.any()


def test_a_loss_that_is_not_finite_stops_with_the_place():
    vectors = VECTORS.copy()
    vectors[17] = np.nan
    with pytest.raises(TrainingError, match=r"sid \(rqvae\): the loss is nan in epoch 1, batch 1"):
        fit(vectors=vectors)


def test_a_width_below_one_is_refused():
    with pytest.raises(ConfigError, match=r"hidden_dims.*below 1"):
        fit(dataclasses.replace(SMALL, hidden_dims=(0,)))


def test_no_hidden_layer_is_a_linear_autoencoder():
    tokenizer = fit(dataclasses.replace(SMALL, hidden_dims=()))
    assert tokenizer.residual_errors(VECTORS, tokenizer.encode(VECTORS))[-1] < 0.6


def test_small_passes_read_every_item_once_before_any_again():
    trainer = _GradientTrainer(VECTORS, 3, 16, dataclasses.replace(SMALL, pass_items=250), 0, torch.device("cpu"))
    passes = [trainer.rows_of_pass() for _ in range(12)]
    assert {len(rows) for rows in passes} == {250}
    every = torch.cat(passes).view(5, 600)
    assert all(turn.unique().numel() == 600 for turn in every)


def test_a_catalogue_that_fits_a_pass_is_trained_as_without_a_limit():
    short = dataclasses.replace(SMALL, epochs=10)
    limits = (600, 10**6)
    a, b = (fit(dataclasses.replace(short, pass_items=limit)).tensors() for limit in limits)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_of_a_large_catalogue_a_fixed_sample_is_checked(monkeypatch):
    monkeypatch.setattr("genrec.sid.quantize.autoencoder_training.MEASURED_ITEMS", 300)
    trainer = _GradientTrainer(VECTORS, 3, 16, SMALL, 0, torch.device("cpu"))
    trainer.start_codebooks()
    assert trainer.check() == trainer.check()
    every = trainer.encode_table(trainer.table)[0]
    read = trainer.encode_table(trainer._checked)[0]
    assert len(read) == 300
    assert {tuple(row) for row in read.tolist()} <= {tuple(row) for row in every.tolist()}


def test_small_passes_learn_of_all_items():
    seen = []
    options = dataclasses.replace(SMALL, pass_items=200)
    tokenizer = fit(options, progress=lambda d, t, n="", /, **values: seen.append(values))
    errors = [v["reconstruction_error"] for v in seen if v]
    assert errors[-1] < 0.9 * errors[0]
    for part in (VECTORS[:300], VECTORS[300:]):
        assert tokenizer.residual_errors(part, tokenizer.encode(part))[-1] < 0.9
