"""What a dry run supposes of the data, which it does not read, and made-up data of that size."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.errors import ConfigError


@dataclass(frozen=True)
class Work:
    """Sizes of the data. Every user has the longest history, every text the most tokens: memory is that of the fullest case,
    time an upper bound.
    """

    users: int = 10_000
    items: int = 10_000
    history: int = 20  # items of a history
    text_tokens: int = 128  # of an item's text, for the encoder

    def __post_init__(self) -> None:
        for name, least in (("users", 1), ("items", 2), ("history", 1), ("text_tokens", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"--{name.replace('_', '-')} is {getattr(self, name)}; {least} or more is meant")


def semantic_ids(work: Work, num_levels: int, num_codes: int) -> np.ndarray:
    """Unique ids int64[N, L], spread evenly. Raises ConfigError where there are too few."""
    if work.items > num_codes**num_levels:
        raise ConfigError(
            f"--items is {work.items:,}, more than sid.num_levels and sid.num_codes give ids ({num_codes}^{num_levels})"
        )
    numbers = np.arange(work.items)
    return np.stack([numbers // num_codes**level % num_codes for level in range(num_levels)], axis=1)


def histories(work: Work, count: int, seed: int = 0) -> list[np.ndarray]:
    """`count` histories of full length and one item more, int64 each."""
    return list(np.random.default_rng(seed).integers(0, work.items, (count, work.history + 1)))


def word_tokenizer() -> Any:
    """A tokenizer to which every word is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"word": 0}, unk_token="word"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="word")
