"""The transformer encoder: batching, padding and order never change a vector."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel, AutoTokenizer

from genrec.embed.encoders import transformer
from genrec.embed.encoders.transformer import Config, encode, length_batches
from genrec.errors import ConfigError
from tests.support.embed_tiny import WORDS, save_tiny
from tests.support.qwen_tokenizer import SPECIAL, qwen_tokenizer

RNG = np.random.default_rng(1)
TEXTS = [" ".join(RNG.choice(WORDS, n)) for n in RNG.integers(1, 30, 25)]


@pytest.fixture(scope="module", params=["qwen2", "bert"])
def model(request, tmp_path_factory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp(request.param), request.param))


def one_by_one(folder: str, pooling: str) -> np.ndarray:
    """The plainest way: each text alone, without padding."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in TEXTS:
        with torch.no_grad():
            hidden = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        pooled = hidden.mean(0) if pooling == "mean" else hidden[-1]
        rows.append((pooled / pooled.norm()).numpy())
    return np.stack(rows)


def test_the_tiny_tokenizers_tell_the_words_apart(model):
    token_ids = transformer.tokenize(list(WORDS), transformer.load(Config(model=model))[1], 512)
    assert len({tuple(ids) for ids in token_ids}) == len(WORDS)


def test_an_empty_text_has_a_token(model):
    assert transformer.tokenize([""], transformer.load(Config(model=model))[1], 512)[0]


@pytest.mark.parametrize("kind", ["qwen2.5", "bert"])
def test_a_text_that_spells_a_special_token_is_text(tmp_path, kind):
    if kind == "bert":
        tokenizer, tokens = AutoTokenizer.from_pretrained(save_tiny(tmp_path, "bert")), ["[CLS]", "[SEP]"]
    else:
        tokenizer, tokens = qwen_tokenizer(), SPECIAL
    special = set(tokenizer.convert_tokens_to_ids(tokens))
    for token in tokens:
        plain, spelled = transformer.tokenize([WORDS[0], f"{WORDS[0]} {token}"], tokenizer, 512)
        assert sum(i in special for i in spelled) == sum(i in special for i in plain)
        assert len(spelled) > len(plain)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
def test_batches_give_what_each_text_gives_alone(model, pooling, batch_tokens):
    vectors = encode(TEXTS, Config(model=model, pooling=pooling), batch_tokens=batch_tokens)
    np.testing.assert_allclose(vectors, one_by_one(model, pooling), atol=1e-5)


def test_order_does_not_change_a_vector(model):
    order = RNG.permutation(len(TEXTS))
    straight = encode(TEXTS, Config(model=model), batch_tokens=64)
    shuffled = encode([TEXTS[i] for i in order], Config(model=model), batch_tokens=64)
    np.testing.assert_allclose(straight[order], shuffled, atol=1e-5)


def test_the_padding_and_truncation_side_of_the_tokenizer_does_not_matter(tmp_path):
    by_batch = []
    for side in ("left", "right"):
        folder = str(save_tiny(tmp_path / side, padding_side=side))
        by_batch.append(encode(TEXTS, Config(model=folder, max_tokens=8), batch_tokens=100))
    np.testing.assert_allclose(by_batch[0], by_batch[1], atol=1e-6)


def test_what_is_behind_max_tokens_is_not_read(model):
    texts = ["steel nut glue lamp", "steel nut glue tape"]
    short, long = (encode(texts, Config(model=model, max_tokens=n), batch_tokens=64) for n in (3, 512))
    np.testing.assert_allclose(short[0], short[1], atol=1e-6)
    assert not np.allclose(long[0], long[1], atol=1e-2)


def test_vectors_keep_their_length_unless_normalised(model):
    plain = encode(TEXTS, Config(model=model, normalize=False), batch_tokens=64)
    scaled = encode(TEXTS, Config(model=model), batch_tokens=64)
    norms = np.linalg.norm(plain, axis=1, keepdims=True)
    assert not np.allclose(norms, 1)
    np.testing.assert_allclose(plain / norms, scaled, atol=1e-5)


def test_bfloat16_stays_near_float32(model):
    exact = encode(TEXTS, Config(model=model, dtype="float32"), batch_tokens=64)
    rounded = encode(TEXTS, Config(model=model, dtype="bfloat16"), batch_tokens=64)
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    assert (exact * rounded).sum(axis=1).min() > 0.98


def test_no_text_at_all(model):
    assert encode([], Config(model=model), batch_tokens=64).shape == (0, 16)


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 500))
def test_batches_hold_every_row_once_within_the_budget(lengths, batch_tokens):
    batches = length_batches(np.array(lengths, dtype=np.int64), batch_tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= batch_tokens


@pytest.mark.parametrize("batch_tokens", [7, 40, 1000])
@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_texts_that_are_tokenized_ahead_come_once_within_the_budget_longest_first(monkeypatch, chunk, batch_tokens):
    monkeypatch.setattr(transformer, "_CHUNK_TEXTS", chunk)
    monkeypatch.setattr(
        transformer, "tokenize", lambda texts, tokenizer, most: [[len(text)] * len(text) for text in texts]
    )
    texts = ["x" * int(n) for n in RNG.integers(1, 30, 60)]
    batches = list(transformer.token_batches(texts, None, 512, batch_tokens))
    assert sorted(i for rows, _ in batches for i in rows) == list(range(60))
    longest = []
    for rows, token_ids in batches:
        assert token_ids == [[len(texts[i])] * len(texts[i]) for i in rows]
        longest.append(max(map(len, token_ids)))
        assert len(rows) == 1 or len(rows) * longest[-1] <= batch_tokens
    assert longest == sorted(longest, reverse=True)
    if chunk > 1:
        whole = length_batches(np.array([len(text) for text in texts]), batch_tokens)
        assert len(batches) <= len(whole) + 1


def test_the_next_texts_are_tokenized_while_the_model_computes(monkeypatch):
    monkeypatch.setattr(transformer, "_CHUNK_TEXTS", 1)
    tokenized = [threading.Event() for _ in range(6)]

    def tokenize(texts, tokenizer, most):
        tokenized[6 - len(texts[0])].set()
        return [[0] * len(text) for text in texts]

    monkeypatch.setattr(transformer, "tokenize", tokenize)
    batches = transformer.token_batches(["x" * n for n in range(6, 0, -1)], None, 512, 6)
    next(batches)  # of the first two chunks; the model would compute now: nobody asks for the next batch
    assert tokenized[2].wait(60)
    assert tokenized[3].wait(60)
    assert not tokenized[4].is_set()  # no further ahead: memory is bounded
    batches.close()


def test_an_error_of_the_tokenizer_is_raised_and_its_thread_ends(monkeypatch):
    def fail(texts, tokenizer, most):
        raise ConfigError("no such token")

    monkeypatch.setattr(transformer, "tokenize", fail)
    with pytest.raises(ConfigError, match="no such token"):
        list(transformer.token_batches(["a"], None, 512, 4))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tokenize")]


def test_throughput_is_reported_and_logged(model, caplog):
    seen = []
    with caplog.at_level("INFO", logger="genrec"):
        encode(TEXTS, Config(model=model), batch_tokens=64, progress=lambda *_, **values: seen.append(values))
    assert all(values["tokens_per_s"] > 0 for values in seen)
    (line,) = [record.message for record in caplog.records if "tokens/s" in record.message]
    assert line.startswith(f"encoded {len(TEXTS)} texts of ")


def test_a_model_that_cannot_be_reached_is_named_with_the_fix(monkeypatch):
    def refuse(name, **_):
        raise OSError("We couldn't connect to the hub")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(ConfigError, match=r"'some/model' cannot be loaded.*folder's path.*method: lsa"):
        transformer.load(Config(model="some/model"))


def test_a_folder_without_safetensors_is_refused_and_its_pickles_are_not_read(tmp_path):
    folder = save_tiny(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin.*needs config\.json.*safetensors"):
        transformer.load(Config(model=str(folder)))


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    folder = save_tiny(tmp_path / "model")
    canary = tmp_path / "canary"
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: ...\n")
    config = (folder / "config.json").read_text().replace('"model_type": "qwen2"', '"model_type": "evil"')
    auto = '{"auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"},'
    (folder / "config.json").write_text(auto + config.lstrip()[1:])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        transformer.load(Config(model=str(folder)))
    assert not canary.exists()


def test_weights_that_are_not_finite_are_reported(tmp_path):
    folder = save_tiny(tmp_path / "model")
    network = AutoModel.from_pretrained(folder)
    torch.nn.init.constant_(network.norm.weight, float("inf"))
    network.save_pretrained(folder)
    with pytest.raises(ConfigError, match="not finite"):
        encode(TEXTS, Config(model=str(folder)), batch_tokens=64)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_gives_what_the_cpu_gives(model):
    on_cpu = encode(TEXTS, Config(model=model, dtype="float32"), batch_tokens=64, device="cpu")
    on_gpu = encode(TEXTS, Config(model=model, dtype="float32"), batch_tokens=64, device="cuda")
    np.testing.assert_allclose(on_cpu, on_gpu, atol=1e-4)
