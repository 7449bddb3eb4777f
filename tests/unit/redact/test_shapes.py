"""Values that are secrets whatever they are called: known tokens, and text that looks random, at stated error rates."""

import json
import re
import time

import pytest

from genrec.config import Config
from genrec.redact import portable_pattern, redact, settings_with_secrets
from tests.support.secret_samples import LETTERS, TOKENS, random_text

HARMLESS = [
    "Qwen/Qwen2.5-3B-Instruct",
    "meta-llama/Meta-Llama-3.1-8B-Instruct-Q4_K_M",
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    "BAAI/bge-m3",
    "060db6499f32faf8b98477b0a26969ef7d8b9987",
    "models--Qwen--Qwen2.5-3B/snapshots/060db6499f32faf8b98477b0a26969ef7d8b9987/model.safetensors",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "sft-2c7fcf69efa4c6d431c08fb9",
    "123e4567-e89b-12d3-a456-426614174000",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "B00Y4XQ2K9",
    "B00Y4XQ2K9,B07FZ8S74R,B0BSHF7WHW",
    "A1B2C3D4E5F6G7",
    "2026-01-02T03:04:05.678+01:00",
    "20260102-030405-V2Business-seed3",
    "/Users/JohnSmith/Documents/MyProjects/GenRec2/DataSetV3B/events-2026.parquet",
    "/tmp/ray/session_2026-01-02_03-04-05_123456_789/logs/worker-0a1b2c3d.out",
    "/tmp/tmpA3xk2_9B/store",
    "s3://bucket/shop/2026/interactions-00001.parquet",
    "http://127.0.0.1:4200/runs/flow-run/0d9c1a",
    "http://host:80/a@b",
    "mail a@b, path /x/y@z, s3://bucket/a@b",
    "GenerativeRecommenderForSequenceClassificationWithLoRA2",
    "Qwen2MoeForCausalLM, XLMRobertaXLForMaskedLM2",
    "V2BusinessBalancedRqvae3",
    "torch.nn.modules.transformer.TransformerEncoderLayer",
    "Clothing_Shoes_and_Jewelry.jsonl.gz",
    "task-specific-learning-rate-schedule-2",
    "Bearer of the news, basic settings",
    "<|sid_0_17|><|sid_1_203|><|sid_2_5|>",
    "HF_TOKEN",
    "extra_token",
    "num_tokens=120, max_new_tokens: 64, pad_token_id=3",
    "unexpected token: <x>",
    "use_auth_token=None",
    '{"key": "sft-2c7fcf69efa4c6d431c08fb9"}',
]


def _in_forms(text: str) -> bool:
    return re.search(portable_pattern(), text) is not None


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize("around", ["{}", "401 for {}!", "https://host/x/{}", "['{}']", "a\n{}\nb"])
def test_tokens_of_known_shapes_are_hidden_and_found_in_forms(kind, around):
    text = around.format(TOKENS[kind])
    assert redact(text) == around.format("***") or kind == "random" or TOKENS[kind] not in redact(text)
    assert TOKENS[kind][8:] not in redact(text)
    assert _in_forms(text)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("s3://user:pass-word@bucket/x", "s3://***@bucket/x"),
        ("s3://AK:a/b+c=@bucket/x", "s3://***@bucket/x"),
        ("https://h/x?X-Amz-Signature=abc&part=1", "https://h/x?X-Amz-Signature=***&part=1"),
        ("https://h/x?a=1&SIG=abc", "https://h/x?a=1&SIG=***"),
        ("https://h/x?access_token=abc'", "https://h/x?access_token=***'"),
        ("Authorization: Bearer abc.DEF-123", "Authorization: *** ***"),
    ],
)
def test_secrets_in_urls_and_headers_are_hidden_and_found_in_forms(text, hidden):
    assert redact(text) == hidden
    assert _in_forms(text)


def test_a_private_key_is_hidden_to_its_end():
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEcanary\nQQcanary==\n-----END RSA PRIVATE KEY-----"
    assert redact(f"got {key} there") == "got *** there"
    assert redact(key[:50]) == "***"
    assert _in_forms(key)


@pytest.mark.parametrize("text", HARMLESS)
def test_paths_ids_hashes_dates_and_names_of_models_are_no_secrets(text):
    assert redact(text) == text
    assert not _in_forms(text)


@pytest.mark.parametrize(
    ("letters", "length", "missed"),
    [
        (LETTERS, 20, 0.11),
        (LETTERS, 32, 0.01),
        (LETTERS, 40, 0.005),
        (LETTERS + "+/", 40, 0.09),  # secret keys of AWS
        (LETTERS + "-_", 43, 0.07),  # token_urlsafe(32)
    ],
)
def test_random_looking_text_is_found_at_the_stated_rate(letters, length, missed):
    drawn = [random_text(seed, length, letters) for seed in range(3000)]
    assert sum(redact(t) == t for t in drawn) / len(drawn) < missed


@pytest.mark.parametrize(
    ("letters", "length"), [("0123456789abcdef", 40), ("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 10), ("0123456789", 13)]
)
def test_random_hashes_asins_and_numbers_are_never_taken_for_secrets(letters, length):
    assert all(redact(t) == t and not _in_forms(t) for t in (random_text(s, length, letters) for s in range(3000)))


def test_the_defaults_of_all_settings_hold_no_secret():
    data = Config().model_dump(mode="json")
    assert settings_with_secrets(data) == []
    assert redact(json.dumps(data)) == json.dumps(data)


def test_a_log_line_costs_little():
    line = "sft: epoch 3 of 10, loss 3.2101, 120 rows/s, step 1200 of 4000, 00:12:11 left"
    times = []
    for _ in range(50):
        started = time.perf_counter()
        redact(line)
        times.append(time.perf_counter() - started)
    assert min(times) < 500e-6


@pytest.mark.parametrize(
    "text", ["a" * 50_000, "a1B2" * 10_000, "-" * 50_000, "://" * 10_000, "token=" * 5_000, "eyJ" * 10_000]
)
def test_long_text_does_not_take_long(text):
    started = time.process_time()
    redact(text)
    _in_forms(text[:10_000])
    assert time.process_time() - started < 5
