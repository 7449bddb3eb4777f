"""How items, purchases and text spread over semantic ids."""

import re
from typing import Any

import numpy as np
import pyarrow as pa

from genrec.embed.texts import LABELS, item_texts
from genrec.sid.prefixes import distinct_prefixes

_TOKEN = re.compile(r"\w+|[^\w\s]")
_LABEL = re.compile(rf"^(?:{'|'.join(LABELS.values())}): ", re.MULTILINE)
NUM_CURVE_POINTS = 21
MAX_TEXTS = 200_000  # items whose texts are counted: a mean is as good as exact, and a million texts take half a minute


def cluster_sizes(codes: np.ndarray, num_codes: int) -> list[dict[str, Any]]:
    """For every level: smallest, median and largest number of items of a code, and a histogram.

    `histogram` maps 0, 1, 2-3, 4-7, ... to the number of codes with so many items.
    """
    levels = []
    for level in codes.T:
        counts = np.bincount(level, minlength=num_codes)
        bins = np.where(counts > 0, np.frexp(counts)[1], 0)  # 0 -> 0, 1 -> 1, 2..3 -> 2, 4..7 -> 3
        histogram = {_bin_name(b): int(n) for b, n in enumerate(np.bincount(bins))}
        levels.append(
            {
                "min": int(counts.min()),
                "median": float(np.median(counts)),
                "max": int(counts.max()),
                "histogram": histogram,
            }
        )
    return levels


def _bin_name(number: int) -> str:
    low, high = (0, 0) if number == 0 else (1 << (number - 1), (1 << number) - 1)
    return str(low) if low == high else f"{low}-{high}"


def popularity_spread(codes: np.ndarray, train_counts: np.ndarray) -> list[dict[str, Any]]:
    """How training events spread over the prefixes of one and of two codes that are in use.

    Args:
        codes: int [N, L].
        train_counts: int [N], training events of each item.

    Returns:
        For each depth: num_prefixes, largest_share (of the most popular prefix), top_10_percent_share, gini (0 even,
        1 all in one), and `curve`: the share of events behind the most popular 0, 5, ..., 100% of the prefixes.
    """
    depths = []
    for depth in range(1, min(2, codes.shape[1]) + 1):
        of_item = distinct_prefixes(codes[:, :depth]).of_row
        events = np.sort(np.bincount(of_item, weights=train_counts))[::-1]
        total = max(float(events.sum()), 1e-30)
        cumulative = np.concatenate([[0.0], np.cumsum(events) / total])
        places = np.linspace(0, len(events), NUM_CURVE_POINTS)
        curve = np.interp(places, np.arange(len(cumulative)), cumulative)
        ranks = np.arange(len(events), 0, -1)
        gini = 2 * float((ranks * events).sum()) / (len(events) * total) - (len(events) + 1) / len(events)
        depths.append(
            {
                "depth": depth,
                "num_prefixes": len(events),
                "largest_share": float(events[0] / total),
                "top_10_percent_share": float(np.interp(len(events) / 10, np.arange(len(cumulative)), cumulative)),
                "gini": max(0.0, gini),
                "curve": [float(v) for v in curve],
            }
        )
    return depths


def sequence_length(catalogue: pa.Table, tokens_per_item: int) -> dict[str, float]:
    """How much shorter a history is in semantic ids than in item texts.

    A text token here is a word or a punctuation mark of the item's title, brand, categories and description; the
    subwords of a language model are more. Of a large catalogue, a random sample of MAX_TEXTS items is read. `shortened_by` is 1 - tokens_per_item / text_tokens_mean, below zero where
    texts are shorter than ids.
    """
    if catalogue.num_rows > MAX_TEXTS:
        read = np.zeros(catalogue.num_rows, dtype=bool)
        read[np.random.default_rng(0).choice(len(read), MAX_TEXTS, replace=False)] = True
        catalogue = catalogue.filter(pa.array(read))
    fields = [name for name in LABELS if name in catalogue.column_names]
    texts, inverse = item_texts(catalogue, fields)
    lengths = np.array([len(_TOKEN.findall(_LABEL.sub("", text))) for text in texts])[inverse]
    mean = float(lengths.mean())
    return {
        "tokens_per_item": tokens_per_item,
        "text_tokens_mean": mean,
        "text_tokens_median": float(np.median(lengths)),
        "shortened_by": 1 - tokens_per_item / max(mean, 1e-30) if mean else 0.0,
    }
