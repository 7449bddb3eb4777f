"""A model that does not fit the device it is to answer on is refused before it is loaded, with the figures."""

import dataclasses

import pytest
import torch

from genrec.errors import ConfigError
from genrec.model import folder
from genrec.serve import room
from genrec.serve.engine import GIB
from genrec.serve.query import Query
from genrec.serve.recommender import Limits, load_engine
from tests.support.lm_tiny import attach, perturb, tiny_policy
from tests.support.serve_tiny import write_files

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    place = tmp_path_factory.mktemp("base")
    tiny_policy(5).save(place)
    return place


@pytest.fixture(scope="module", params=["lora", "qlora"])
def adapted(request, base, tmp_path_factory):
    """The files of an adapter on the base."""
    policy = attach(base, request.param)
    perturb(policy)
    files = write_files(tmp_path_factory.mktemp(request.param), policy)
    return dataclasses.replace(files, base=base)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_weights_are_counted_as_they_will_be_held(base, dtype):
    model = folder.load_causal_model(base, CPU, dtype)
    assert room.weight_bytes(base, None, dtype) == sum(p.nbytes for p in model.parameters())


def test_an_adapter_counts_with_its_base(adapted, base):
    found = room.weight_bytes(adapted.model, adapted.base, torch.float32)
    whole = room.weight_bytes(base, None, torch.float32)
    adapter = sum(p.stat().st_size for p in adapted.model.glob("*.safetensors"))
    if folder.read_meta(adapted.model)["adapter"] == "lora":
        assert whole < found <= whole + adapter
    else:
        assert found < whole + adapter  # four bits a weight of its layers


def test_too_large_a_model_is_refused_with_its_size_what_is_free_and_the_settings(adapted, monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda device: GIB)
    monkeypatch.setattr(
        "genrec.model.policy.Policy.load", lambda *a, **k: pytest.fail("loaded before it was known to fit")
    )
    with pytest.raises(ConfigError) as refused:
        load_engine(adapted, "cpu", Limits(max_kv_gib=2.5))
    text = str(refused.value)
    assert text.startswith(f"{adapted.where}: does not fit cpu: its weights take 0.0 GiB in float32")
    assert "up to 2.5 GiB (api.max_kv_gib, at an endpoint), and 1.0 GiB are free" in text
    assert "evaluate.precision" in text


def test_what_fits_is_loaded_and_an_adapter_merged(adapted, monkeypatch):
    monkeypatch.setattr(room, "free_bytes", lambda device: 4 * GIB)
    engine = load_engine(adapted, "cpu")
    is_merged = folder.read_meta(adapted.model)["adapter"] == "lora"
    assert engine.policy.has_adapter is not is_merged
    assert engine.answer([Query(["i1", "i2"], k=3)])[0].source == "model"


def test_the_limits_reach_the_engine(adapted):
    engine = load_engine(adapted, "cpu", Limits(max_batch=7, max_kv_gib=0.5, max_k=20))
    assert (engine.batch_size, engine.max_kv_gib) == (7, 0.5)
    with pytest.raises(ConfigError, match=r"api\.max_kv_gib"):
        load_engine(adapted, "cpu", Limits(max_kv_gib=1e-6, max_k=20))
