"""A Qwen2 and a BERT of a few thousand random weights with their tokenizers, saved as any hub model would be."""

from pathlib import Path

import pyarrow as pa
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, BertTokenizer, PreTrainedTokenizerFast, Qwen2Config, Qwen2Model

WORDS = (
    *("steel", "nut", "bolt", "screw", "washer", "glue", "tape", "drill", "saw", "lamp", "red", "green", "blue"),
    *("small", "large", "box", "of", "ten", "pack", "the"),
)
SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_tiny(folder: Path, kind: str = "qwen2", padding_side: str = "right") -> Path:
    """Write config, safetensors weights and tokenizer of a tiny model; kind is qwen2 (causal) or bert."""
    torch.manual_seed(0)
    sides = {"padding_side": padding_side, "truncation_side": padding_side}
    if kind == "qwen2":
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=340, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
        )
        bpe.train_from_iterator([" ".join(WORDS)], trainer)
        tokens = PreTrainedTokenizerFast(
            tokenizer_object=bpe, eos_token="<|endoftext|>", pad_token="<|endoftext|>", **sides
        )
        vocab_size = bpe.get_vocab_size()
        model = Qwen2Model(Qwen2Config(vocab_size=vocab_size, num_key_value_heads=1, initializer_range=0.5, **SIZES))
    else:
        vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
        tokens = BertTokenizer(vocab=vocabulary, **sides)
        model = BertModel(
            BertConfig(vocab_size=len(vocabulary), max_position_embeddings=512, initializer_range=0.5, **SIZES)
        )
    tokens.save_pretrained(folder)
    model.eval().save_pretrained(folder)
    return folder


def catalogue_of(rows: list[dict]) -> pa.Table:
    """A table with the text columns of a catalogue; what a row leaves out is empty."""
    texts = ("title", "brand", "description")
    return pa.table(
        {
            "item_id": pa.array([f"i{i}" for i in range(len(rows))]),
            **{name: pa.array([row.get(name, "") for row in rows], pa.string()) for name in texts},
            "categories": pa.array([row.get("categories", []) for row in rows], pa.list_(pa.string())),
        }
    )
