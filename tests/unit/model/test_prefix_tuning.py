"""P-Tuning v2 against words in front of the prompt and against PEFT's own forward."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from genrec.errors import DataError
from genrec.model import prefix_tuning
from genrec.model.policy import Policy
from tests.support.lm_tiny import VOCAB, attach, perturb, put_on, random_sids, tiny_policy

IDS = torch.tensor([[0, *VOCAB.token_ids(random_sids(3, seed=0)).reshape(-1).tolist()]])
POSITIONS = 3


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request, tmp_path):
    tiny_policy(tied=request.param).save(tmp_path / "base")
    return tmp_path / "base"


def first_words(seed: int = 1) -> torch.Tensor:
    return torch.randperm(VOCAB.first_token_id, generator=torch.Generator().manual_seed(seed))[:POSITIONS]


@torch.no_grad()
def test_a_fresh_prefix_is_a_prompt_of_words(base):
    plain, policy = Policy.load(base), attach(base, "ptuning_v2")
    words = torch.cat([first_words()[None], IDS], dim=1)
    expected = plain.body(input_ids=words).last_hidden_state[:, POSITIONS:]
    torch.testing.assert_close(policy.body(input_ids=IDS).last_hidden_state, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_llama_takes_a_prefix_too():
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(vocab_size=VOCAB.end_token_id, num_hidden_layers=2, initializer_range=0.3, **size)
    model = LlamaForCausalLM(config).eval()
    words = torch.cat([first_words()[None], IDS], dim=1)
    expected = model(input_ids=words).logits[:, POSITIONS:]
    found = put_on("ptuning_v2", model, VOCAB, seed=1).eval()(input_ids=IDS).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", ["ptuning_v2", "ptuning_v2 projected"])
@torch.no_grad()
def test_peft_alone_loads_what_is_saved_and_its_own_forward_gives_the_same_logits(base, tmp_path, mode):
    policy = attach(base, mode)
    perturb(policy)
    policy.save(tmp_path / "sft")
    model = AutoModelForCausalLM.from_pretrained(base)
    model = PeftModel.from_pretrained(model, tmp_path / "sft").merge_and_unload()
    model = PeftModel.from_pretrained(model, tmp_path / "sft" / prefix_tuning.FOLDER).eval()
    mask = torch.ones_like(IDS)
    theirs = model(input_ids=IDS, attention_mask=mask).logits
    torch.testing.assert_close(policy.model(input_ids=IDS).logits, theirs, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(Policy.load(base).model(input_ids=IDS).logits, theirs, atol=0.1)


@torch.no_grad()
def test_the_keys_of_every_layer_matter(base):
    policy = attach(base, "ptuning_v2")
    before = policy.body(input_ids=IDS).last_hidden_state
    for part in prefix_tuning.parts_of(policy.causal_model):
        kept = part.weight.clone()
        part.weight.add_(0.5)
        assert not torch.allclose(policy.body(input_ids=IDS).last_hidden_state, before, atol=1e-3)
        part.weight.copy_(kept)
    torch.testing.assert_close(policy.body(input_ids=IDS).last_hidden_state, before, rtol=0, atol=0)


def test_a_projection_is_shared_by_the_layers_and_not_saved(base, tmp_path):
    policy = attach(base, "ptuning_v2 projected")
    names = [name for name in policy.trainable_parameters() if "trunk" in name]
    assert len(names) == 3  # one embedding, one layer with its bias
    policy.save(tmp_path / "sft")
    saved = load_file(tmp_path / "sft" / prefix_tuning.FOLDER / "adapter_model.safetensors")
    assert {name: tuple(t.shape) for name, t in saved.items()} == {"prompt_embeddings": (POSITIONS, 2 * 2 * 8)}
    loaded = Policy.load(tmp_path / "sft", base, trainable=True)
    assert sum(name.endswith(".prefix.weight") for name in loaded.trainable_parameters()) == 2


def test_a_prefix_of_another_base_or_a_missing_one_is_named(base, tmp_path):
    attach(base, "ptuning_v2").save(tmp_path / "sft")
    folder = tmp_path / "sft" / prefix_tuning.FOLDER
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"num_layers": 3}))
    with pytest.raises(DataError, match=r"\(3, 1, 8\), but the base has \(2, 1, 8\)"):
        Policy.load(tmp_path / "sft", base)
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file({"prompt_embeddings": torch.zeros(POSITIONS, 5)}, folder / "adapter_model.safetensors")
    with pytest.raises(DataError, match="load it on the base it was trained on"):
        Policy.load(tmp_path / "sft", base)
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(DataError, match="holds no prefix"):
        Policy.load(tmp_path / "sft", base)


def test_a_mask_that_cannot_be_widened_is_refused(base):
    policy = attach(base, "ptuning_v2")
    with pytest.raises(TypeError, match="mask of type dict"):
        policy.body.layers[0].self_attn(
            hidden_states=torch.zeros(1, 2, 16), position_embeddings=(), attention_mask={}, past_key_values=None
        )


def test_more_positions_than_common_words_repeat_them(base):
    model = AutoModelForCausalLM.from_pretrained(base)
    attached = prefix_tuning.attach(model, VOCAB, positions=12, projection=None, seed=0)
    assert {len(part()) for part in prefix_tuning.parts_of(attached.get_base_model())} == {12}
