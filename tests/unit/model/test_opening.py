"""What every prompt opens with: words, or a chat template, the same wherever the model goes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from genrec.errors import ConfigError
from genrec.model import opening
from genrec.model.policy import Policy
from genrec.model.vocab import SidVocabulary
from genrec.search.decode import beam_search
from genrec.search.trie import Trie
from tests.support.lm_tiny import (
    NUM_CODES,
    plain_beam,
    random_histories,
    random_sids,
    sequence_logits,
    tiny_policy,
)
from tests.support.qwen_tokenizer import qwen_tokenizer

WORDS = "Which product is next?"
CHAT = {"instruction": WORDS, "chat": True}
SIDS = random_sids(40, seed=3)


@pytest.fixture
def files(tmp_path):
    tokenizer = qwen_tokenizer(instruct=True)
    tokenizer.save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def vocabulary(tokenizer) -> SidVocabulary:
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    return SidVocabulary(3, NUM_CODES, len(tokenizer), bos_token_id=end, pad_token_id=end)


def ids(files, **wording) -> list[int]:
    vocab = vocabulary(AutoTokenizer.from_pretrained(files))
    return opening.token_ids(files, vocab, SimpleNamespace(**({"instruction": "", "chat": False} | wording)))


def chat_policy(files, **options) -> Policy:
    policy = tiny_policy(vocab=vocabulary(AutoTokenizer.from_pretrained(files)))
    policy._tokenizer_files = files
    policy.use_items(None, "sid_tokens", CHAT | options)
    return policy


def test_a_chat_opens_as_the_template_does_and_ends_where_the_answer_begins(files):
    tokenizer = AutoTokenizer.from_pretrained(files)
    found = ids(files, **CHAT)
    assert tokenizer.decode(found) == f"<|im_start|>user\n{WORDS}<|im_end|>\n<|im_start|>assistant\n"
    assert found[0] == tokenizer.convert_tokens_to_ids("<|im_start|>")  # one token, not its letters
    assert ids(files, instruction=WORDS) == [
        tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        *tokenizer(WORDS).input_ids,
    ]
    assert ids(files) == [tokenizer.convert_tokens_to_ids("<|endoftext|>")]


def test_training_scoring_and_search_read_the_same_chat(files):
    policy = chat_policy(files)
    history = random_histories([4], len(SIDS), 5)[0]
    codes = torch.from_numpy(SIDS[history]).long()[None]
    trained = sequence_logits(policy, codes)
    vocab, rows = policy.vocab, policy.vocab.token_ids(SIDS)
    prompt = [*policy.opening, *rows[history[:3]].reshape(-1)]
    every = torch.from_numpy(np.array([[*prompt, *row] for row in rows]))
    with torch.no_grad():
        logits = policy.model(input_ids=every).logits[:, len(prompt) - 1 : -1]
        levels = logits[:, :, vocab.first_token_id : vocab.end_token_id].view(len(rows), 3, 3, NUM_CODES)
        plain = levels[:, range(3), range(3)].log_softmax(-1)
        prompts = policy.prompts([history[:3]], SIDS)
        shown, _ = policy.candidate_logits(prompts, codes[:, 3:4])
    torch.testing.assert_close(trained[:, 3], shown[:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(trained[0, 3].log_softmax(-1)[0], plain[0, 0], atol=1e-4, rtol=1e-4)
    scores = plain.gather(2, torch.from_numpy(SIDS).long()[:, :, None])[:, :, 0]
    found = beam_search(policy, prompts, Trie.from_sids(SIDS, NUM_CODES), 8)
    assert found.items[0].tolist() == plain_beam(scores.numpy(), SIDS, 8)


def test_a_saved_model_opens_as_it_was_trained_whatever_the_template_gives_later(files, tmp_path):
    policy = chat_policy(files)
    policy.save(tmp_path / "sft", kind="sft")
    template = tmp_path / "sft" / "chat_template.jinja"
    assert template.is_file()
    template.write_text("{{ strftime_now('%Y') }} something else")
    loaded = Policy.load(tmp_path / "sft")
    assert loaded.opening.tolist() == policy.opening.tolist()
    loaded.save(tmp_path / "rl", kind="rl")
    (tmp_path / "rl" / "tokenizer.json").unlink()  # nobody is asked again
    assert Policy.load(tmp_path / "rl").opening.tolist() == policy.opening.tolist()
    assert json.loads((tmp_path / "rl" / "genrec.json").read_text())["opening"] == policy.opening.tolist()
    policy.use_items(None, "sid_tokens", {"instruction": "Other words"})
    assert policy.opening[0] == policy.vocab.bos_token_id


def test_a_chat_without_words_or_without_a_template_is_refused(files, tmp_path):
    with pytest.raises(ConfigError, match="set instruction too"):
        ids(files, chat=True)
    qwen_tokenizer().save_pretrained(tmp_path / "base")
    with pytest.raises(ConfigError, match=r"no chat template; choose an Instruct base, or leave chat false"):
        ids(tmp_path / "base", **CHAT)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append({'role': 'user'}) }}",
        "{% include '/etc/passwd' %}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    ],
)
def test_a_template_is_data_and_reaches_nothing(files, template):
    (files / "chat_template.jinja").write_text(template)
    with pytest.raises(Exception, match=r"unsafe|is safe|no loader|undefined|Security"):
        ids(files, **CHAT)
