"""Item vectors, texts and sequences of a catalogue of any size, for measurements."""

import numpy as np
import pyarrow as pa

DIM = 128  # as LSA gives by default
_GROUPS, _SUBGROUPS = 60, 40
_COPIES = 0.04  # share of the items that are copies of others, as sizes and colours of one article are
_BLOCK = 65536
_WORDS = 4000
_TITLE_WORDS = 12


def item_vectors(num_items: int, seed: int = 0) -> np.ndarray:
    """float32 [N, 128]: Gaussians around 60 x 40 centres of uneven weight, in dimensions of falling variance, and copies."""
    rng = np.random.default_rng(seed)
    scale = (1 / np.sqrt(1 + np.arange(DIM) / 8)).astype(np.float32)
    centres = rng.standard_normal((_GROUPS, 1, DIM), dtype=np.float32)
    centres = (centres + 0.7 * rng.standard_normal((_GROUPS, _SUBGROUPS, DIM), dtype=np.float32)).reshape(-1, DIM)
    weight = rng.permutation(1 / np.arange(1, len(centres) + 1) ** 0.8)
    of_item = rng.choice(len(centres), num_items, p=weight / weight.sum())
    vectors = np.empty((num_items, DIM), dtype=np.float32)
    for start in range(0, num_items, _BLOCK):
        part = centres[of_item[start : start + _BLOCK]]
        vectors[start : start + _BLOCK] = (part + 0.5 * rng.standard_normal(part.shape, dtype=np.float32)) * scale
    copies = rng.choice(num_items, int(_COPIES * num_items), replace=False)
    # A few articles have hundreds of copies, most one or two.
    sources = (num_items * rng.random(len(copies)) ** 4).astype(np.int64)
    vectors[copies] = vectors[sources]
    return vectors


def catalogue(num_items: int, seed: int = 0) -> pa.Table:
    """item_id, title of about 12 words, categories and train_count."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{number}" for number in range(_WORDS)])
    chosen = (_WORDS * rng.random((num_items, _TITLE_WORDS)) ** 2).astype(np.int64)
    titles = pa.array([" ".join(row) for row in words[chosen]])
    categories = pa.array(
        [["shop", f"aisle {number}"] for number in (num_items * rng.random(num_items)).astype(int) % 60]
    )
    ids = pa.array([f"B{number:09d}" for number in range(num_items)])
    return pa.table(
        {"item_id": ids, "title": titles, "categories": categories, "train_count": popularity(num_items, rng)}
    )


def popularity(num_items: int, rng: np.random.Generator) -> np.ndarray:
    """int64 [N]: events of every item, Zipf-like, 10 on average."""
    share = rng.permutation(1 / np.arange(1, num_items + 1) ** 0.9)
    return np.ceil(10 * num_items * share / share.sum()).astype(np.int64)


def sequences(num_items: int, number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Items of `number` sequences, flat, and their offsets: 4 items at least, 8.5 on average, 39 at most."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(3 + rng.geometric(1 / 5.5, number), 39)
    items = (num_items * rng.random(int(lengths.sum())) ** 3).astype(np.int64)  # the first ones are popular
    return items, np.concatenate([[0], np.cumsum(lengths)])
