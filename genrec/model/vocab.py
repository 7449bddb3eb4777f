"""Semantic-id tokens inside a language model's vocabulary.

The tokens of all levels are one contiguous block of ids, so that (level, code) <-> token id is arithmetic and the
rows of one level are one slice of the embedding and of the output head.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SidVocabulary:
    """Where semantic-id tokens live: token id of (level, code) = first_token_id + level * num_codes + code."""

    num_levels: int
    num_codes: int
    first_token_id: int
    bos_token_id: int
    pad_token_id: int

    @property
    def num_tokens(self) -> int:
        """Number of semantic-id tokens, num_levels * num_codes."""
        return self.num_levels * self.num_codes

    @property
    def end_token_id(self) -> int:
        """One past the last semantic-id token."""
        return self.first_token_id + self.num_tokens

    def token_strings(self) -> list[str]:
        """The tokens in id order: `<sid_0_0>`, `<sid_0_1>`, ..., `<sid_{L-1}_{K-1}>`."""
        return [f"<sid_{level}_{code}>" for level in range(self.num_levels) for code in range(self.num_codes)]

    def token_ids(self, sids: np.ndarray) -> np.ndarray:
        """Token ids, int64[..., L], of semantic ids, int[..., L]."""
        return np.asarray(sids, dtype=np.int64) + self.level_offsets()

    def level_offsets(self) -> np.ndarray:
        """Token id of code 0 of every level, int64[L]."""
        return self.first_token_id + np.arange(self.num_levels, dtype=np.int64) * self.num_codes
