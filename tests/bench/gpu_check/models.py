"""Random models, catalogues and prompts of a given size."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from genrec.model import adapter
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.vocab import SidVocabulary
from genrec.train.rl.prompts import PromptSet
from tests.bench.random_ids import random_ids

NUM_LEVELS, NUM_CODES = 3, 256
# Of training sequences, as in Amazon 2014 Industrial and Scientific: twentieths, the mean 5.
SEQUENCE_LENGTHS = (3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 6, 6, 7, 9, 17)
LORA: dict[str, Any] = {"rank": 64, "alpha": 128, "dropout": 0.05, "seed": 0}  # as conf/recipes have it


@dataclass(frozen=True)
class Shape:
    """Size of a model and of the work that is timed on it."""

    text_vocabulary: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    num_items: int = 4344
    history: int = 11  # items in a history: with BOS and one word of an instruction 35 positions
    long_history: int = 20  # 62 positions
    num_users: int = 4533  # to search for
    search_batches: tuple[int, ...] = (512,)
    recorded_batches: tuple[int, ...] = (1, 16)  # searches as CUDA graphs
    windows_per_step: int = 256
    micro_batches: tuple[int, ...] = (256,)
    prompts_per_step: int = 128
    rollout_chunk: int = 128
    rl_micro_batch: int = 128
    text_tokens: int = 128
    num_texts: int = 4096
    embed_batch_tokens: int = 65536  # as conf/a100.yaml has it
    serve_batches: tuple[int, ...] = (1, 8, 32, 128)
    generate_batches: tuple[int, ...] = (1, 8)
    repeats: int = 3
    steps_in_a_row: int = 4  # of fine-tuning: the host goes ahead of the device from one to the next
    profiles: bool = False  # say where the time of the figures goes, which takes its time


SHAPES = {
    "3b": Shape(151_936, 2048, 11_008, 36, 16, 2),  # Qwen2.5-3B
    "tiny": Shape(
        *(300, 32, 48, 2, 4, 2),
        num_items=300,
        num_users=24,
        long_history=14,
        search_batches=(16,),
        recorded_batches=(1, 8),
        windows_per_step=8,
        micro_batches=(4,),
        prompts_per_step=8,
        rollout_chunk=8,
        rl_micro_batch=4,
        text_tokens=12,
        num_texts=16,
        embed_batch_tokens=64,
        serve_batches=(1, 4),
        generate_batches=(2,),
        repeats=1,
        steps_in_a_row=1,
    ),
}


def vocabulary(shape: Shape) -> SidVocabulary:
    return SidVocabulary(NUM_LEVELS, NUM_CODES, shape.text_vocabulary, bos_token_id=0, pad_token_id=1)


def random_model(shape: Shape, device: torch.device, dtype: torch.dtype, spread: float = 0.02) -> Any:
    """A Qwen2 with random weights, made where it stays; `spread` is the standard deviation of its weights."""
    vocab = vocabulary(shape)
    config = Qwen2Config(
        vocab_size=-(-vocab.end_token_id // 64) * 64,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        tie_word_embeddings=True,
        initializer_range=spread,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    with device:
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa").eval()


def random_policy(shape: Shape, device: torch.device, dtype: torch.dtype, lora: bool, spread: float = 0.02) -> Policy:
    """A policy on a random model, with a fresh LoRA adapter where `lora` says so; prompts open with two tokens."""
    vocab, mode = vocabulary(shape), "lora" if lora else "full"
    model = random_model(shape, device, dtype, spread)
    if lora:
        model = adapter.attach(model, vocab, **LORA).eval()
    meta = {"kind": "base", "adapter": mode, "vocabulary": vars(vocab), "max_history": shape.history}
    policy = Policy(model, vocab, shape.history, meta, Path())
    policy.opening = np.array([vocab.bos_token_id, 2])  # what an instruction of one word leaves
    return policy


def add_items(policy: Policy, shape: Shape) -> Policy:
    """The same policy with the default output, `prefixes`, over items with text vectors as wide as the model."""
    text = np.random.default_rng(3).normal(size=(shape.num_items, shape.hidden_size)).astype(np.float32)
    items = ItemVectors(random_catalogue(shape), NUM_CODES, shape.hidden_size, text, ids=True, nodes=True)
    policy.use_items(items, output={"name": "prefixes", "options": {}})
    return policy


def random_prompts(shape: Shape, num_prompts: int, seed: int = 1) -> PromptSet:
    """Full histories and a target for each."""
    items = np.random.default_rng(seed).integers(0, shape.num_items, (num_prompts, shape.history + 1))
    return PromptSet(np.arange(num_prompts), list(items[:, :-1]), items[:, -1])


def random_catalogue(shape: Shape) -> np.ndarray:
    """Unique semantic ids int32[N, L]."""
    return random_ids(shape.num_items, NUM_LEVELS, NUM_CODES)


def body_weights(shape: Shape) -> int:
    """Weights of the linear layers of the body: what a token is multiplied with on its way."""
    width = shape.hidden_size
    attention = 2 * width * width + 2 * width * width * shape.num_kv_heads // shape.num_heads
    return shape.num_layers * (attention + 3 * width * shape.intermediate_size)
