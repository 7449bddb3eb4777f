import pytest
import torch

from genrec.errors import ConfigError
from genrec.model import adapter, folder
from genrec.plan import models
from genrec.plan.device import absent_gpu
from genrec.plan.memory import Memory
from genrec.plan.shapes import shape_of
from tests.support.lm_tiny import tiny_policy

PARAMETERS = {  # as the models' cards have them
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-1.5B": 1_543_714_304,
    "Qwen/Qwen2.5-3B": 3_085_938_688,
    "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
}


@pytest.mark.parametrize("quantize", [False, True])
def test_weights_take_what_they_take_where_they_are_loaded(tmp_path, quantize):
    policy = tiny_policy()
    policy.save(tmp_path)
    loaded = folder.load_causal_model(tmp_path, torch.device("cpu"), torch.bfloat16, quantize)
    with absent_gpu() as device, Memory({}, round_up=False) as counted:
        model = models.causal_model(policy.causal_model.config, device, torch.bfloat16, quantize)
        found = sum(counted.now.values())
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    # bitsandbytes keeps one code of 8 bits for the process, and counts it for every weight.
    assert found == pytest.approx(adapter.weight_bytes(loaded), rel=0.02)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_table_has_the_sizes_of_qwen(name):
    config = shape_of("base.model", name, None).config
    heads = config.hidden_size // config.num_attention_heads * config.num_key_value_heads
    attention = 2 * config.hidden_size * (config.hidden_size + heads) + config.hidden_size + 2 * heads
    layer = attention + 3 * config.hidden_size * config.intermediate_size + 2 * config.hidden_size
    matrices = 1 if config.tie_word_embeddings else 2
    total = matrices * config.vocab_size * config.hidden_size + config.num_hidden_layers * layer + config.hidden_size
    assert total == PARAMETERS[name]


def test_tokens_are_added_behind_the_tokenizers_and_rows_are_padded():
    shape = shape_of("base.model", "Qwen/Qwen2.5-3B", None)
    assert "table" in shape.source
    assert shape.with_tokens(3 * 256).vocab_size == 152_448  # 151,665 + 768, to a multiple of 64
    assert shape.with_tokens(64).vocab_size == shape.config.vocab_size == 151_936


def test_a_model_of_unknown_size_is_refused_with_what_to_give(tmp_path):
    with pytest.raises(ConfigError, match=r"base\.model: the size of '.*nowhere' is not known here"):
        shape_of("base.model", str(tmp_path / "nowhere"), None)
