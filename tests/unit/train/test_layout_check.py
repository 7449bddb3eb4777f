"""A base model of another architecture is refused where it is loaded, not hours later."""

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from genrec.errors import ConfigError
from genrec.train.layout_check import check_layout

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.3,
}
GROUPED = {**SHAPE, "num_key_value_heads": 1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("model", "config"),
    [
        (Qwen2ForCausalLM, Qwen2Config(**GROUPED)),
        (LlamaForCausalLM, LlamaConfig(**GROUPED)),
        (MistralForCausalLM, MistralConfig(**GROUPED)),
    ],
    ids=["qwen2", "llama", "mistral"],
)
def test_models_that_are_built_like_qwen2_pass(model, config, dtype):
    torch.manual_seed(0)
    made = model(config).to(dtype).train()
    check_layout(made, "a model")
    assert made.training


@pytest.mark.parametrize(
    ("model", "config"),
    [
        (GPT2LMHeadModel, GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2)),
        (OPTForCausalLM, OPTConfig(vocab_size=300, hidden_size=32, ffn_dim=48, num_hidden_layers=2,
                                   num_attention_heads=2, word_embed_proj_dim=32)),
        (GPTNeoXForCausalLM, GPTNeoXConfig(**SHAPE)),
        (Qwen3ForCausalLM, Qwen3Config(**GROUPED, head_dim=16)),
    ],
    ids=["gpt2", "opt", "gpt-neox", "qwen3"],
)  # fmt: skip
def test_another_architecture_is_refused_by_name_with_the_fix(model, config):
    torch.manual_seed(0)
    with pytest.raises(ConfigError, match=rf"base\.model: 'mine' is a {model.__name__}, .*choose a model of the Qwen2"):
        check_layout(model(config), "mine")
