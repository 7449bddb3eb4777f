"""Memory of the keys and values of a search, and how many prompts may share one within a bound.

A position of a prompt, or of a beam's token, keeps a key and a value in every layer. A search of B prompts, padded to
the longest of them (P positions), with beams of width W and ids of L levels holds B * (P + W * (L - 1)) positions: the
last level's token is never an input (`genrec.search.layout`). In Qwen2.5-3B in bfloat16 a position takes 36 KiB.
"""

from collections.abc import Iterator

import numpy as np
import torch

from genrec.search.decode import SearchModel
from genrec.search.fused import fits


def bytes_a_position(model: SearchModel) -> int:
    """Bytes of the keys and values of one position in all layers."""
    config = model.body.config
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    numbers = config.num_hidden_layers * config.num_key_value_heads * dim  # of a key, and of a value
    if fits(model.body):
        return int(numbers) * 2 * 4  # the fused search keeps float32
    # Keys are turned in the type of the embeddings; values come out of a product as they are.
    half_weights = model.body.get_input_embeddings().weight.dtype == torch.bfloat16
    half_products = half_weights or model.search_dtype == torch.bfloat16
    return int(numbers) * ((2 if half_weights else 4) + (2 if half_products else 4))


def batches(positions: np.ndarray, most_rows: int, most_positions: int) -> Iterator[slice]:
    """Consecutive rows that are searched together.

    Args:
        positions: int64[U], ascending: what each row takes, beams included. A batch is padded to its last row.
        most_rows: rows of a batch at most.
        most_positions: positions of a batch at most; a row that takes more comes alone.
    """
    start = 0
    while start < len(positions):
        # How much the batch takes grows with every row, so that the first one too many ends it.
        taken = np.arange(1, most_rows + 1)[: len(positions) - start] * positions[start : start + most_rows]
        size = max(1, int(np.searchsorted(taken, most_positions, side="right")))
        yield slice(start, start + size)
        start += size
