"""Promises of every tokenizer, a module of genrec/sid/tokenizers."""

import json

import numpy as np
import pytest
import torch

from genrec import variants
from genrec.config import SidConfig
from genrec.errors import DataError
from genrec.progress import silent
from genrec.sid.assign import assign
from genrec.sid.tokenizer_files import load_tokenizer, save_tokenizer
from genrec.sid.tokenizers import PACKAGE
from tests.support.sid_samples import clustered, write_inputs

TOKENIZERS = variants.names(PACKAGE)
LEVELS, CODES = 3, 8
# Settings that keep a small fit short; a tokenizer that is not named here is fitted with its defaults.
AUTOENCODER = {
    "epochs": 20,
    "warmup_epochs": 5,
    "batch_size": 64,
    "eval_every": 5,
    "hidden_dims": [32],
    "latent_dim": 8,
}
QUICK = {"rqvae": AUTOENCODER, "rqvae_ema": AUTOENCODER | {"epochs": 40, "decay": 0.9, "learning_rate": 3e-3}}
VECTORS = clustered(num_items=300, dim=12, num_clusters=20, seed=0)


@pytest.fixture(params=TOKENIZERS)
def method(request) -> str:
    return request.param


def fit(method, vectors=VECTORS, num_codes=CODES, num_levels=LEVELS, seed=0, progress=silent):
    config = SidConfig(method=method, options=QUICK.get(method, {}))
    module, options = variants.build(PACKAGE, method, config.options)
    return module.fit(
        vectors, num_levels=num_levels, num_codes=num_codes, options=options, seed=seed, device="cpu", progress=progress
    )


def test_codes_are_one_int32_a_level_in_range(method):
    tokenizer = fit(method)
    codes = tokenizer.encode(VECTORS)
    assert codes.dtype == np.int32
    assert codes.shape == (len(VECTORS), LEVELS)
    assert codes.min() >= 0
    assert codes.max() < CODES
    assert tokenizer.codebooks.shape[:2] == (LEVELS, CODES)
    assert tokenizer.codebooks.dtype == np.float32
    assert np.isfinite(tokenizer.codebooks).all()


def test_codes_are_the_nearest_of_each_level_to_what_is_left_over(method):
    tokenizer = fit(method)
    codes, left = tokenizer.encode(VECTORS), tokenizer.project(VECTORS).astype(np.float64)
    prices = tokenizer.tensors().get("prices", torch.zeros(LEVELS, CODES)).numpy()
    for level, codebook in enumerate(tokenizer.codebooks.astype(np.float64)):
        distances = np.square(left[:, None] - codebook[None]).sum(axis=2) + prices[level]
        chosen = distances[np.arange(len(left)), codes[:, level]]
        np.testing.assert_allclose(chosen, distances.min(axis=1), rtol=1e-3, atol=1e-5)
        left -= codebook[codes[:, level]]


def test_same_seed_same_codebooks(method):
    a, b = fit(method), fit(method)
    assert a.codebooks.tobytes() == b.codebooks.tobytes()
    assert a.encode(VECTORS).tobytes() == b.encode(VECTORS).tobytes()


def test_the_global_random_state_neither_matters_nor_changes(method):
    expected = fit(method).codebooks.tobytes()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002 the legacy state is what must not matter
    before = torch.get_rng_state()
    assert fit(method).codebooks.tobytes() == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_codes_explain_most_of_clustered_vectors_and_finer_levels_more(method):
    tokenizer = fit(method)
    errors = tokenizer.residual_errors(VECTORS, tokenizer.encode(VECTORS))
    assert errors.shape == (LEVELS,)
    assert errors[-1] < 0.5
    assert errors[-1] <= errors[0] + 1e-6
    shuffled = np.random.default_rng(0).permutation(tokenizer.encode(VECTORS))
    assert tokenizer.residual_errors(VECTORS, shuffled)[-1] > 2 * errors[-1]


def test_items_of_one_cluster_share_their_first_code(method):
    vectors, clusters = clustered(200, dim=12, num_clusters=4, seed=1, noise=0.02, with_labels=True, even=True)
    first = fit(method, vectors).encode(vectors)[:, 0]
    assert all(len(np.unique(clusters[first == code])) == 1 for code in np.unique(first))


def test_promised_sizes_are_kept_at_every_level(method):
    module = variants.load(PACKAGE, method)
    if not hasattr(module, "promised_sizes"):
        pytest.skip("promises no cluster sizes")
    for num_items, num_codes in ((300, CODES), (299, 7), (CODES, CODES), (3, CODES)):
        tokenizer = fit(method, VECTORS[:num_items], num_codes=num_codes)
        low, high = module.promised_sizes(num_items, num_codes, module.Config(**QUICK.get(method, {})))
        assert num_codes * low <= num_items <= num_codes * high
        for level in tokenizer.encode_catalogue(VECTORS[:num_items]).T:
            counts = np.bincount(level, minlength=num_codes)
            assert (counts.min(), counts.max()) >= (low, 0)
            assert counts.max() <= high


def test_the_catalogue_is_encoded_almost_as_single_items_are(method):
    tokenizer = fit(method)
    together = tokenizer.encode_catalogue(VECTORS)
    assert together.dtype == np.int32
    assert together.shape == (len(VECTORS), LEVELS)
    assert together.min() >= 0
    assert together.max() < CODES
    # A promise about all items together may move items on a tie anywhere, and any item at the last level.
    assert (together == tokenizer.encode(VECTORS))[:, :-1].all(axis=1).mean() > 0.95


def test_the_catalogue_keeps_what_single_items_explain(method):
    tokenizer = fit(method)
    single = tokenizer.residual_errors(VECTORS, tokenizer.encode(VECTORS))[-1]
    assert tokenizer.residual_errors(VECTORS, tokenizer.encode_catalogue(VECTORS))[-1] < 1.25 * single + 0.05


def test_decode_has_the_shape_of_the_vectors_at_every_depth(method):
    tokenizer = fit(method)
    codes = tokenizer.encode(VECTORS)
    for depth in range(1, LEVELS + 1):
        decoded = tokenizer.decode(codes[:, :depth])
        assert decoded.shape == VECTORS.shape
        assert decoded.dtype == np.float32


def test_a_saved_tokenizer_gives_the_same_codes_to_new_items(method, tmp_path):
    tokenizer = fit(method)
    save_tokenizer(tokenizer, method, tmp_path)
    again = load_tokenizer(tmp_path, device="cpu")
    new = clustered(num_items=50, dim=12, num_clusters=20, seed=9)
    np.testing.assert_array_equal(tokenizer.encode(new), again.encode(new))
    np.testing.assert_array_equal(tokenizer.decode(tokenizer.encode(new)), again.decode(again.encode(new)))
    save_tokenizer(again, method, tmp_path / ".")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer.safetensors"]


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(np.ones((1, 4), np.float32), id="one item"),
        pytest.param(VECTORS[:3], id="fewer items than codes"),
        pytest.param(np.ones((30, 4), np.float32), id="equal vectors"),
        pytest.param(np.zeros((30, 4), np.float32), id="zero vectors"),
        pytest.param(np.repeat(VECTORS[:5], 6, axis=0), id="few distinct vectors"),
        pytest.param(1000 + 1e-2 * VECTORS, id="small differences far from zero"),
        pytest.param(VECTORS[:, :1], id="one dimension"),
    ],
)
def test_odd_inputs_get_unique_ids(method, vectors, tmp_path):
    vectors_path, catalogue_path = write_inputs(tmp_path, vectors)
    config = SidConfig(method=method, num_levels=LEVELS, num_codes=CODES, options=QUICK.get(method, {}))
    summary = assign(vectors_path, catalogue_path, config, 0, tmp_path, device="cpu")
    assert summary["collision_rate"] == 0
    assert summary["num_items"] == len(vectors)


def test_one_code_gives_one_item_an_id_and_more_a_clear_error(method, tmp_path):
    config = SidConfig(method=method, num_levels=2, num_codes=1, options=QUICK.get(method, {}))
    one = write_inputs(tmp_path, VECTORS[:1])
    assert assign(*one, config, 0, tmp_path, device="cpu")["collision_rate"] == 0
    two = write_inputs(tmp_path, VECTORS[:2])
    with pytest.raises(DataError, match=r"2 items need unique ids.*num_codes 1 and sid\.num_levels 2"):
        assign(*two, config, 0, tmp_path)


def test_same_inputs_same_files(method, tmp_path):
    inputs = write_inputs(tmp_path, VECTORS)
    config = SidConfig(method=method, num_levels=2, num_codes=32, options=QUICK.get(method, {}))
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        summary = assign(*inputs, config, 3, tmp_path / name, device="cpu")
        json.dumps(summary)
        written.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["quality.json", "sids.parquet", "tokenizer.json", "tokenizer.safetensors"]


def test_progress_ends_at_the_total(method):
    calls = []
    fit(method, progress=lambda done, total, note="", /, **values: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_encodes_as_the_cpu_does(method, tmp_path):
    tokenizer = fit(method)
    save_tokenizer(tokenizer, method, tmp_path)
    on_gpu = load_tokenizer(tmp_path, device="cuda")
    assert (on_gpu.encode(VECTORS) == tokenizer.encode(VECTORS)).mean() > 0.99
    assert fit(method).encode(VECTORS).max() < CODES
