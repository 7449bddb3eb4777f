"""Saved tokenizers and fusions: what is damaged is named; other errors pass through."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from genrec.config import SidConfig
from genrec.errors import DataError
from genrec.sid import fusion, tokenizer_files
from genrec.sid.assign import assign
from genrec.sid.quantize.tokenizer import Tokenizer
from genrec.sid.tokenizer_files import load_tokenizer, read_meta
from tests.support.sid_samples import clustered, write_inputs

AUTOENCODER = {"epochs": 1, "warmup_epochs": 0, "hidden_dims": [8], "latent_dim": 4}


@pytest.fixture
def artifact(tmp_path):
    inputs = write_inputs(tmp_path, clustered(10, 4, 3, seed=0))
    assign(*inputs, SidConfig(num_codes=4, num_levels=2, refit=False), 0, tmp_path)
    return tmp_path


def test_missing_files_are_named_and_what_is_there_is_listed(artifact):
    (artifact / "tokenizer.safetensors").unlink()
    with pytest.raises(DataError, match=r"tokenizer\.safetensors: no such file; the folder holds .*tokenizer\.json"):
        load_tokenizer(artifact)
    (artifact / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"tokenizer\.json: no such file"):
        load_tokenizer(artifact)


def test_an_unknown_method_is_refused_and_the_known_ones_are_listed(artifact):
    meta = json.loads((artifact / "tokenizer.json").read_text())
    for wrong in ("os.system", None, 3):
        (artifact / "tokenizer.json").write_text(json.dumps({**meta, "method": wrong}))
        with pytest.raises(DataError, match=rf"tokenizer\.json: there is no tokenizer {wrong!r}; known: rqkmeans,"):
            load_tokenizer(artifact)


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[1, 2]"], ids=["cut off", "not text", "a list"])
def test_damaged_json_is_named(artifact, text):
    (artifact / "tokenizer.json").write_bytes(text)
    with pytest.raises(DataError, match=r"tokenizer\.json: not (JSON|a saved tokenizer).*run the sid stage"):
        read_meta(artifact)


@pytest.mark.parametrize("content", [b"\x80\x04pickle", b""])
def test_damaged_tensors_are_named(artifact, content):
    (artifact / "tokenizer.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"tokenizer\.safetensors: not a saved tokenizer .*run the sid stage"):
        load_tokenizer(artifact)


@pytest.mark.parametrize(
    ("method", "tensor"),
    [
        ("rqkmeans", "codebooks"),
        ("rqkmeans_balanced", "balance"),
        ("rqkmeans_balanced", "prices"),
        ("rqvae", "encoder"),
        ("rqvae", "decoder"),
        ("rqvae_ema", "inputs.mean"),
    ],
)
def test_a_tensor_that_is_missing_is_named(method, tensor, tmp_path):
    options = AUTOENCODER if method.startswith("rqvae") else {}
    config = SidConfig(method=method, num_codes=4, num_levels=2, refit=False, options=options)
    assign(*write_inputs(tmp_path, clustered(10, 4, 3, seed=0)), config, 0, tmp_path)
    path = tmp_path / "tokenizer.safetensors"
    tensors = load_file(path)
    kept = {name: t for name, t in tensors.items() if not name.startswith(tensor)}
    assert len(kept) < len(tensors)
    save_file(kept, path)
    with pytest.raises(DataError, match=rf"tokenizer\.safetensors: no tensor '{tensor}.* of a {method} tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), TypeError("a mistake in the code"), MemoryError()])
def test_other_errors_are_not_taken_for_damage(artifact, monkeypatch, error):
    def fail(*arguments):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "from_tensors", fail)
        with pytest.raises(type(error)) as caught:
            load_tokenizer(artifact)
        assert caught.value is error
    monkeypatch.setattr(tokenizer_files, "load_file", fail)
    with pytest.raises(type(error)):
        load_tokenizer(artifact)


def _saved_fusion(folder):
    arrays = [np.array(1.0, np.float32), np.zeros(3, np.float32), np.ones((3, 2), np.float32), np.zeros(2, np.float32)]
    fusion.Fusion(*arrays).save(folder)
    return folder / "fusion.safetensors"


def test_a_fusion_is_read_as_it_was_saved_and_none_is_no_error(tmp_path):
    assert fusion.Fusion.load(tmp_path) is None
    _saved_fusion(tmp_path)
    loaded = fusion.Fusion.load(tmp_path)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.fuse(np.ones((1, 3), np.float32)), [[1, 1, 1, 3, 3]])


def test_a_damaged_fusion_is_named_and_other_errors_pass(tmp_path, monkeypatch):
    path = _saved_fusion(tmp_path)
    arrays = load_arrays(path)
    save_arrays({name: a for name, a in arrays.items() if name != "offset"}, path)
    with pytest.raises(DataError, match=r"fusion\.safetensors: not a saved fusion .*offset.*run the sid stage"):
        fusion.Fusion.load(tmp_path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"fusion\.safetensors: not a saved fusion"):
        fusion.Fusion.load(tmp_path)

    def fail(path):
        raise PermissionError(path)

    monkeypatch.setattr(fusion, "load_file", fail)
    with pytest.raises(PermissionError):
        fusion.Fusion.load(tmp_path)


def test_the_device_of_a_loaded_tokenizer_is_the_one_asked_for(artifact):
    assert load_tokenizer(artifact, device="cpu").device == torch.device("cpu")
