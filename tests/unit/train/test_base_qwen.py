"""Bases with a tokenizer of Qwen2.5's kind: no BOS, special tokens behind the words, rows that stand for nothing."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Qwen2Config, Qwen2ForCausalLM

from genrec.config import BaseConfig
from genrec.errors import ConfigError
from genrec.model import folder
from genrec.model.policy import Policy
from genrec.train import base
from tests.support.qwen_tokenizer import ROWS, SPECIAL, TEXTS, TOKENS, qwen_tokenizer, write_base
from tests.support.rl_tiny import write_prepared

LEVELS, CODES = 3, 8
SPARE = 40  # rows of the embedding behind the tokenizer's


def build(tmp_path, instruct=False, tied=True, spare=SPARE):
    """The plain model, and the base stage's summary; the folder is tmp_path/base."""
    plain = write_base(tmp_path / "plain", qwen_tokenizer(instruct), tied=tied, spare=spare)
    write_prepared(tmp_path / "prepared", [[0, 1]], [])
    config = BaseConfig(model=str(tmp_path / "plain"))
    return plain, base.build_base(config, LEVELS, CODES, tmp_path / "prepared/catalogue.parquet", 0, tmp_path / "base")


@pytest.mark.parametrize("instruct", [False, True])
def test_prompts_start_with_the_end_of_a_text_and_not_with_the_end_of_a_turn(tmp_path, instruct):
    build(tmp_path, instruct)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    assert tokenizer.bos_token is None
    assert tokenizer.eos_token == ("<|im_end|>" if instruct else "<|endoftext|>")
    policy = Policy.load(tmp_path / "base", max_history=3)
    start = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert policy.opening.tolist() == [start]
    assert policy.vocab.pad_token_id == start
    empty = policy.prompts([np.array([], dtype=np.int64)], np.zeros((1, LEVELS), dtype=np.int64))
    assert empty.input_ids.tolist() == [[start]]


def test_a_model_without_any_such_token_is_refused():
    tokenizer = qwen_tokenizer()
    tokenizer.eos_token = None
    model = Qwen2ForCausalLM(Qwen2Config(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    model.config.bos_token_id = None
    with pytest.raises(ConfigError, match="neither a BOS nor an EOS"):
        base.first_token(model, tokenizer)
    model.config.bos_token_id = len(tokenizer) + 5  # of a row that no token has
    with pytest.raises(ConfigError, match="neither a BOS nor an EOS"):
        base.first_token(model, tokenizer)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("spare", [0, 10, SPARE])  # ids need 24: all rows new, some, none
def test_ids_take_the_rows_behind_the_tokenizers_and_words_keep_theirs(tmp_path, tied, spare):
    plain, summary = build(tmp_path, tied=tied, spare=spare)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    first = len(qwen_tokenizer())
    assert summary["first_sid_token"] == first == len(tokenizer) - LEVELS * CODES
    rows = model.get_input_embeddings().num_embeddings
    assert rows == summary["vocabulary"] == model.config.vocab_size
    assert rows == first + spare if spare == SPARE else rows % 64 == 0
    assert (model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()) == tied
    for get in ("get_input_embeddings", "get_output_embeddings"):
        old, new = getattr(plain, get)().weight, getattr(model, get)().weight
        torch.testing.assert_close(new[:first], old[:first], rtol=0, atol=0)
        ids, behind = new[first : first + LEVELS * CODES], new[first + LEVELS * CODES :]
        assert len(ids.unique(dim=0)) == LEVELS * CODES
        assert behind.isfinite().all()
        assert not any((ids == row).all(1).any() for row in old[first:])  # what lay in rows of no token is not kept
    inputs = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    assert int(inputs.max()) < first
    torch.testing.assert_close(
        model(inputs).logits[..., :first], plain(inputs).logits[..., :first], atol=1e-5, rtol=1e-5
    )


def test_ids_are_one_token_each_also_between_neighbours_and_in_text(tmp_path):
    _, summary = build(tmp_path)
    tokenizer, first = AutoTokenizer.from_pretrained(tmp_path / "base"), summary["first_sid_token"]
    names = folder.vocabulary(folder.read_meta(tmp_path / "base")).token_strings()
    assert tokenizer("".join(names))["input_ids"] == list(range(first, first + len(names)))
    assert tokenizer.decode(range(first, first + len(names))) == "".join(names)
    for before, after in (("", ""), ("beaker", "glass"), (" ", " "), ("<|im_end|>", "<tool_call>"), ("<", ">")):
        text = f"{before}<sid_0_1><sid_1_0>{after}"
        ids = tokenizer(text)["input_ids"]
        assert [i for i in ids if i >= first] == [first + 1, first + CODES]
        assert tokenizer.decode(ids) == text
    assert all(i < first for i in tokenizer("<sid_3_0> <sid_0_8> <sid_0_01> < sid_0_1>")["input_ids"])


def test_special_tokens_stay_what_they_were(tmp_path):
    build(tmp_path, instruct=True)
    before, after = qwen_tokenizer(instruct=True), AutoTokenizer.from_pretrained(tmp_path / "base")
    for token in SPECIAL:
        assert after.convert_tokens_to_ids(token) == before.convert_tokens_to_ids(token)
    assert after.chat_template == before.chat_template
    text = "<|im_start|>user\nWhich product?<|im_end|>"
    assert after(text)["input_ids"] == before(text)["input_ids"]


@pytest.mark.parametrize("codes", [64, 256])
def test_rows_of_qwen_s_size_hold_few_ids_and_are_padded_for_more(monkeypatch, codes):
    tokenizer = qwen_tokenizer(full_size=True)
    assert len(tokenizer) == TOKENS
    with torch.device("cpu"):
        model = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=ROWS,
                hidden_size=2,
                num_hidden_layers=1,
                num_attention_heads=1,
                num_key_value_heads=1,
                intermediate_size=2,
                tie_word_embeddings=True,
            )
        )
    model.generation_config = GenerationConfig()
    vocab = base.add_sid_tokens(model, tokenizer, 3, codes, seed=0)
    assert (vocab.first_token_id, vocab.end_token_id) == (TOKENS, TOKENS + 3 * codes)
    assert model.get_input_embeddings().num_embeddings == {64: ROWS, 256: 152_448}[codes]
    assert 152_448 % 64 == 0 == ROWS % 64
