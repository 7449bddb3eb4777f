"""Text of the data never becomes a token that means something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import PreTrainedTokenizer

from genrec.errors import ConfigError
from genrec.model.plain_text import encode_plain
from genrec.train.base import train_tokenizer
from tests.support.qwen_tokenizer import PLAIN_ADDED, SPECIAL, TEXTS, qwen_tokenizer

SIDS = ["<sid_0_1>", "<sid_0_11>", "<sid_2_7>"]


def with_ids(tokenizer):
    words = set(range(len(tokenizer)))
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in SIDS])
    return tokenizer, words - {tokenizer.convert_tokens_to_ids(t) for t in [*SPECIAL, *PLAIN_ADDED]}


QWEN, WORDS = with_ids(qwen_tokenizer())
TOKENIZERS = {"qwen": QWEN, "scratch": with_ids(train_tokenizer(TEXTS, 330))[0]}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ordinary_text_has_the_tokens_that_it_always_had(name):
    tokenizer = TOKENIZERS[name]
    texts = [*TEXTS, "", "  two spaces\n\nand a line", "e\u0301 composed"]
    assert encode_plain(tokenizer, texts) == tokenizer(texts, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("token", [*SPECIAL, *PLAIN_ADDED, *SIDS])
def test_a_title_that_spells_a_token_is_text(name, token):
    tokenizer = TOKENIZERS[name]
    for text in (token, f"a{token}b", f"{token}{token}", f"Beaker {token} 5 ml"):
        (ids,) = encode_plain(tokenizer, [text])
        assert not set(ids) & set(tokenizer.added_tokens_decoder)
        assert tokenizer.decode(ids) == text
    if token in tokenizer.get_added_vocab():
        assert (
            tokenizer.convert_tokens_to_ids(token) in tokenizer(token)["input_ids"]
        )  # which is what the words of a view get


@given(st.lists(st.sampled_from([*SPECIAL, *PLAIN_ADDED, *SIDS, "<", "|>", " ", "beaker", "sid_0_1>"]), max_size=8))
def test_no_joined_pieces_give_an_added_token(pieces):
    assert set(encode_plain(QWEN, ["".join(pieces)])[0]) <= WORDS


def test_a_tokenizer_of_another_library_is_refused():
    with pytest.raises(ConfigError, match=r"PythonBackend, which has no tokenizer\.json"):
        encode_plain(object.__new__(PreTrainedTokenizer), ["text"])
