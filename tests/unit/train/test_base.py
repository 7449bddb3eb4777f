import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from genrec import tables
from genrec.config import BaseConfig, ScratchConfig
from genrec.errors import ConfigError
from genrec.model.policy import Policy
from genrec.train.base import build_base, train_tokenizer

SMALL = ScratchConfig(vocab_size=320, hidden_size=16, num_layers=1, num_heads=2, num_kv_heads=1, intermediate_size=16)
NUM_CODES = 8


@pytest.fixture
def catalogue(tmp_path):
    titles = [f"Blue glass beaker {i} ml with grüner Skala" for i in range(40)]
    columns = {
        "item": list(range(40)),
        "item_id": [f"i{i}" for i in range(40)],
        "title": titles,
        "description": ["Heat resistant laboratory glass."] * 40,
        "brand": ["Acme"] * 40,
        "categories": [["Lab", "Glass"]] * 40,
        "train_count": [1] * 40,
    }
    path = tmp_path / "catalogue.parquet"
    tables.write_table(pa.table(columns), path, tables.CATALOGUE)
    return path


def build(catalogue, out, **config):
    config.setdefault("scratch", SMALL)
    return build_base(BaseConfig(**config), 3, NUM_CODES, catalogue, 0, out)


def test_the_scratch_folder_is_an_ordinary_model_folder(catalogue, tmp_path):
    summary = build(catalogue, tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    text = "Blue glass <sid_0_3><sid_2_7> grüner 玻璃"
    ids = tokenizer(text)["input_ids"]
    first = summary["first_sid_token"]
    assert [i - first for i in ids if i >= first] == [3, 2 * NUM_CODES + 7]
    assert tokenizer.decode(ids) == text
    assert model.config.vocab_size == len(tokenizer) == summary["vocabulary"] == first + 3 * NUM_CODES
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert Policy.load(tmp_path / "base", max_history=4).vocab.bos_token_id == tokenizer.bos_token_id


def test_the_same_seed_gives_the_same_bytes(catalogue, tmp_path):
    for name in ("a", "b"):
        build(catalogue, tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert "model.safetensors" in files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
        assert str(tmp_path).encode() not in (tmp_path / "a" / name).read_bytes(), name


def test_text_epochs_teach_the_catalogue_s_words(catalogue, tmp_path):
    losses = [
        build(catalogue, tmp_path / str(epochs), scratch=SMALL.model_copy(update={"text_epochs": epochs}))["text_loss"]
        for epochs in (1, 40)
    ]
    assert losses[1] < losses[0] - 1.0


@pytest.mark.parametrize("tied", [True, False])
def test_a_pretrained_model_keeps_its_rows_and_gets_neutral_new_ones(catalogue, tmp_path, tied):
    tokenizer = train_tokenizer(["some text to merge"] * 3, 300)
    torch.manual_seed(1)
    size = len(tokenizer) + 4  # spare rows, as published models have
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    plain = Qwen2ForCausalLM(
        Qwen2Config(vocab_size=size, intermediate_size=16, tie_word_embeddings=tied, dtype="bfloat16", **shape)
    ).to(torch.bfloat16)
    with torch.no_grad():
        plain.lm_head.weight.add_(0.5)
    plain.save_pretrained(tmp_path / "plain")
    tokenizer.save_pretrained(tmp_path / "plain")
    build(catalogue, tmp_path / "base", model=str(tmp_path / "plain"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype="auto")
    assert model.dtype == torch.bfloat16
    first = len(tokenizer)
    for get in ("get_input_embeddings", "get_output_embeddings"):
        old, new = getattr(plain, get)().weight.float(), getattr(model, get)().weight.float()
        torch.testing.assert_close(new[:first], old[:first], rtol=0, atol=0)
        added = new[first : first + 3 * NUM_CODES]
        centre = old[:first].mean(0)
        assert (added - centre).std().item() == pytest.approx((old[:first] - centre).std().item() / 10, rel=0.2)
        assert len(torch.unique(added, dim=0)) == 3 * NUM_CODES
        assert len(new) % 64 == 0
        assert model.config.vocab_size == len(new)


def test_a_model_that_cannot_be_loaded_is_named_with_the_fix(catalogue, tmp_path):
    with pytest.raises(ConfigError, match=r"base\.model: cannot load .*absent.*`scratch`"):
        build(catalogue, tmp_path / "base", model=str(tmp_path / "absent"))


def test_pickled_weights_are_refused(catalogue, tmp_path):
    build(catalogue, tmp_path / "plain")
    (tmp_path / "plain" / "model.safetensors").rename(tmp_path / "plain" / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        build(catalogue, tmp_path / "base", model=str(tmp_path / "plain"))


def test_a_model_that_has_semantic_ids_already_is_refused(catalogue, tmp_path):
    build(catalogue, tmp_path / "plain")
    with pytest.raises(ConfigError, match="already holds <sid_"):
        build(catalogue, tmp_path / "base", model=str(tmp_path / "plain"))


def test_heads_that_do_not_divide_the_width_are_refused(catalogue, tmp_path):
    with pytest.raises(ConfigError, match="hidden_size 16 must be a multiple of num_heads 3"):
        build(catalogue, tmp_path / "base", scratch=SMALL.model_copy(update={"num_heads": 3}))


def test_an_item_without_text_does_not_stop_the_tokenizer():
    tokenizer = train_tokenizer(["", ""], 300)
    assert tokenizer.decode(tokenizer("anything at all")["input_ids"]) == "anything at all"
    assert np.all(np.array(tokenizer("x")["input_ids"]) < len(tokenizer))


def test_gpt2_is_refused_here_and_not_by_the_stage_after(catalogue, tmp_path):
    tokenizer = train_tokenizer(["some text to merge"] * 3, 300)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2)).save_pretrained(
        tmp_path / "gpt2"
    )
    tokenizer.save_pretrained(tmp_path / "gpt2")
    with pytest.raises(ConfigError, match="GPT2LMHeadModel, which search and training cannot work with"):
        build(catalogue, tmp_path / "base", model=str(tmp_path / "gpt2"))
    assert not (tmp_path / "base").exists()
