"""A catalogue of 24 items, a Qwen2 of a few thousand weights and prepared files, for the tests of genrec/train."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from genrec import tables
from genrec.model.policy import Policy
from genrec.model.vocab import SidVocabulary
from genrec.search.trie import Trie
from tests.support.targets import write_targets

NUM_ITEMS, NUM_LEVELS, NUM_CODES = 24, 3, 4
MAX_HISTORY = 4
VOCAB = SidVocabulary(NUM_LEVELS, NUM_CODES, first_token_id=3, bos_token_id=0, pad_token_id=1)
SIDS = np.array([[i // 8, i // 2 % 4, i % 2 + i // 8] for i in range(NUM_ITEMS)], dtype=np.int32)
META = {"kind": "sft", "adapter": "full", "vocabulary": vars(VOCAB), "max_history": MAX_HISTORY}


def tiny_model(seed: int = 0, tied: bool = True) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCAB.end_token_id,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    return Qwen2ForCausalLM(config).eval()


def tiny_policy(seed: int = 0, tied: bool = True) -> Policy:
    return Policy(tiny_model(seed, tied), VOCAB, MAX_HISTORY, META, Path())


def tiny_trie() -> Trie:
    return Trie.from_sids(SIDS, NUM_CODES)


def write_sids(path: Path, sids: np.ndarray = SIDS) -> Path:
    columns = {"item": list(range(len(sids))), "sid": sids.tolist(), "raw": sids.tolist()}
    schema = tables.sids_schema(sids.shape[1])
    tables.write_table(pa.table(columns, schema=schema), path, schema)
    return path


def write_prepared(folder: Path, sequences: list[list[int]], valid: list[tuple[list[int], int]]) -> Path:
    """train.parquet, valid.parquet and catalogue.parquet of made-up users."""
    folder.mkdir(parents=True, exist_ok=True)
    train = {
        "user": list(range(len(sequences))),
        "user_id": [f"u{i}" for i in range(len(sequences))],
        "items": sequences,
        "events": [["review"] * len(s) for s in sequences],
        "timestamps": [list(range(len(s))) for s in sequences],
    }
    counts = np.bincount([i for s in sequences for i in s], minlength=NUM_ITEMS)
    catalogue = {
        "item": list(range(NUM_ITEMS)),
        "item_id": [f"i{i}" for i in range(NUM_ITEMS)],
        **{name: [""] * NUM_ITEMS for name in ("title", "description", "brand")},
        "categories": [["shop", ("tools", "garden", "paint")[i % 3]] for i in range(NUM_ITEMS)],
        "train_count": counts.tolist(),
    }
    for name, columns, schema in (("train", train, tables.SEQUENCES), ("catalogue", catalogue, tables.CATALOGUE)):
        tables.write_table(pa.table(columns, schema=schema), folder / f"{name}.parquet", schema)
    write_targets(folder, "review", valid=[(user, *row) for user, row in enumerate(valid)])
    return folder
