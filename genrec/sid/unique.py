"""Raw codes to unique ids: items that collide are reassigned at minimum cost, or numbered by one more token.

The extra token is TIGER's (arXiv 2305.05065, section 3.1): it keeps every learned code, at the price of one more
decoding step and of a last token without meaning.
"""

import numpy as np

from genrec.errors import DataError
from genrec.sid.prefixes import distinct_prefixes
from genrec.sid.repair import rank_within, repair


def make_unique(
    raw: np.ndarray,
    latents: np.ndarray,
    codebooks: np.ndarray,
    how: str,
    *,
    taken: np.ndarray | None = None,
) -> np.ndarray:
    """Ids that no two items share.

    Args:
        raw: int [N, L], codes.
        latents: float32 [N, d], what the codes quantise.
        codebooks: float32 [L, K, d].
        how: reassign (`genrec.sid.repair`) or extra_token.
        taken: int [M, L] or, with an extra token, [M, L + 1]: ids that other items hold for good, or None.

    Returns:
        int32 [N, L], or [N, L + 1] with an extra token.

    Raises:
        DataError: more items than free ids, or more items with one id than the extra token can count.
    """
    if how == "reassign":
        return repair(raw, latents, codebooks, taken=taken)
    return count_within(raw, codebooks.shape[1], taken)


def count_within(raw: np.ndarray, num_codes: int, taken: np.ndarray | None = None) -> np.ndarray:
    """int32 [N, L + 1]: raw codes and a number that tells items with the same codes apart, in item order from 0.

    Numbers that `taken` ids [M, L + 1] hold are not given again: counting goes on after the highest of them.
    """
    num_levels = raw.shape[1]
    taken = np.empty((0, num_levels + 1), dtype=raw.dtype) if taken is None else taken
    groups = distinct_prefixes(np.concatenate([raw, taken[:, :num_levels]])).of_row
    first = np.zeros(int(groups.max()) + 1 if len(groups) else 0, dtype=np.int64)
    np.maximum.at(first, groups[len(raw) :], taken[:, num_levels].astype(np.int64) + 1)
    numbers = first[groups[: len(raw)]] + rank_within(groups[: len(raw)])
    if len(numbers) and numbers.max() >= num_codes:
        worst = int(numbers.argmax())
        raise DataError(
            f"sid: {int(numbers[worst]) + 1} items share the id {raw[worst].tolist()}, but the extra token has "
            f"sid.num_codes {num_codes} values; set sid.deduplicate: reassign"
        )
    return np.column_stack([raw, numbers]).astype(np.int32)
