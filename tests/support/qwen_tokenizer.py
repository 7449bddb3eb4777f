"""A tokenizer of Qwen2.5's kind: byte-level BPE, no BOS, special tokens behind the words, fewer tokens than the model has rows."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AddedToken, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

BPE_TOKENS, TOKENS, ROWS = (
    151_643,
    151_665,
    151_936,
)  # of Qwen2.5: words, words and special tokens, rows of the embedding
TEXTS = [
    f"Which product is number {i}? A {c} beaker of glass, grüner Skala 玻璃" for i, c in enumerate(["red", "blue"] * 9)
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>"]
PLAIN_ADDED = ["<tool_call>", "</tool_call>"]  # added, but not special
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_tokenizer(instruct: bool = False, full_size: bool = False) -> Any:
    """Trained on a few texts; with `full_size` it has as many tokens as Qwen2.5's, most of which no text gives."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    )
    vocab, merges = words.get_vocab(), [tuple(pair) for pair in json.loads(words.to_str())["model"]["merges"]]
    if full_size:
        vocab |= {f"Ġunused{i}": i for i in range(len(vocab), BPE_TOKENS)}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges, eos_token="<|im_end|>" if instruct else "<|endoftext|>")
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    more = [f"<|fim_{i}|>" for i in range(TOKENS - BPE_TOKENS - len(SPECIAL) - len(PLAIN_ADDED))] if full_size else []
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in [*PLAIN_ADDED, *more]])
    if instruct:
        tokenizer.chat_template = CHAT
    return tokenizer


def write_base(folder: Path, tokenizer: Any, *, tied: bool = True, spare: int = 40, seed: int = 0) -> Qwen2ForCausalLM:
    """A small random base with `tokenizer` in a folder; its embedding has `spare` rows that stand for nothing."""
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer) + spare,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=tied,
            initializer_range=0.3,
            bos_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),  # as Qwen2.5's config has it
            eos_token_id=tokenizer.eos_token_id,
        )
    ).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
