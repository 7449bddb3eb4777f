"""Unique ids: move as few items as little as possible until no two share an id.

Level by level, from coarse to fine. A code of level l below a given prefix has room for as many items as there are
ids behind it; where more items want it, the surplus goes to the nearest code of the same level with room, and finds
its codes below again. At the last level a code has room for one item, and the items of a cell (same codes but the
last) are assigned to its codes at minimum total squared distance (Kuhn 1955; scipy's `linear_sum_assignment`).
"""

import numpy as np

from genrec.errors import DataError

_BLOCK_ELEMENTS = 1 << 24  # entries of a cost matrix computed at once (128 MiB of float64)


def check_capacity(num_items: int, num_codes: int, num_levels: int) -> None:
    """Raise DataError when there are more items than ids."""
    if num_items > num_codes**num_levels:
        raise DataError(
            f"sid: {num_items} items need unique ids, but sid.num_codes {num_codes} and sid.num_levels {num_levels} "
            f"give {num_codes**num_levels}; raise one of them"
        )


def repair(
    codes: np.ndarray,
    latents: np.ndarray,
    codebooks: np.ndarray,
    *,
    taken: np.ndarray | None = None,
) -> np.ndarray:
    """Make ids unique (see the module's text). Deterministic; codes of cells without a conflict stay as they are.

    Args:
        codes: int [N, L], raw codes.
        latents: float32 [N, d], what the codes quantise.
        codebooks: float32 [L, K, d].
        taken: int [M, L], distinct ids that other items hold for good, or None.

    Returns:
        int32 [N, L], all rows distinct and none of them in `taken`.

    Raises:
        DataError: more items than free ids.
    """
    num_items, num_levels = codes.shape
    num_codes = codebooks.shape[1]
    taken = np.empty((0, num_levels), dtype=np.int64) if taken is None else taken.astype(np.int64)
    check_capacity(num_items + len(taken), num_codes, num_levels)
    final = codes.astype(np.int64)
    residual = latents.astype(np.float32).copy()
    for level in range(num_levels - 1):
        _spill(final, residual, codebooks, level, taken)
        residual -= codebooks[level][final[:, level]]
    _assign_last(final, residual, codebooks[-1], taken)
    return final.astype(np.int32)


def _prefix_keys(codes: np.ndarray, taken: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Cell numbers of the items and of the taken ids by their first `depth` codes, and how many cells there are."""
    both = np.concatenate([codes, taken])
    keys = np.zeros(len(both), dtype=np.int64)
    count = 1 if len(both) else 0
    for level in range(depth):
        # Renumbering at every level keeps the keys small: K**L may exceed 64 bits.
        values, keys = np.unique(keys * (int(both[:, level].max()) + 1) + both[:, level], return_inverse=True)
        count = len(values)
    return keys[: len(codes)], keys[len(codes) :], count


def _spill(codes: np.ndarray, residual: np.ndarray, codebooks: np.ndarray, level: int, taken: np.ndarray) -> None:
    """Bring every code of `level` below every prefix within its room; changes `codes` in place."""
    num_levels, num_codes = codebooks.shape[:2]
    room_behind_a_code = num_codes ** (num_levels - 1 - level)
    if len(codes) + len(taken) <= room_behind_a_code:
        return
    parents, taken_parents, num_parents = _prefix_keys(codes, taken, level)
    children = parents * num_codes + codes[:, level]
    counts = np.bincount(children, minlength=num_parents * num_codes)
    counts += np.bincount(taken_parents * num_codes + taken[:, level], minlength=len(counts))
    order = np.argsort(parents, kind="stable")
    ordered = parents[order]
    for parent in np.unique(np.flatnonzero(counts > room_behind_a_code) // num_codes):
        room = room_behind_a_code - counts[parent * num_codes : (parent + 1) * num_codes]
        start, end = np.searchsorted(ordered, [parent, parent + 1])
        _spill_cell(order[start:end], room, codes, residual, codebooks, level)


def _spill_cell(
    rows: np.ndarray, room: np.ndarray, codes: np.ndarray, residual: np.ndarray, codebooks: np.ndarray, level: int
) -> None:
    """Move the surplus of the overfull codes of one cell; `room` (negative where overfull) is used up on the way."""
    rows = rows[room[codes[rows, level]] < 0]
    distances = _squared_distances(residual[rows], codebooks[level])
    preference = distances.argsort(axis=1, kind="stable")
    own = distances[np.arange(len(rows)), codes[rows, level]]
    place = np.zeros(len(rows), dtype=np.int64)  # where in its preference an item looks; a full code stays full
    active = np.arange(len(rows))
    moved = []
    while (room < 0).any():
        behind = active
        while len(behind):
            behind = behind[room[preference[behind, place[behind]]] <= 0]
            place[behind] += 1
        # The items that lose least go first; a code gives away its surplus, a target takes what it has room for.
        target, current = preference[active, place[active]], codes[rows[active], level]
        order = np.argsort(distances[active, target] - own[active], kind="stable")
        order = order[rank_within(current[order]) < -room[current[order]]]
        order = order[rank_within(target[order]) < room[target[order]]]
        room += np.bincount(current[order], minlength=len(room)) - np.bincount(target[order], minlength=len(room))
        codes[rows[active[order]], level] = target[order]
        moved.append(rows[active[order]])
        stays = room[current] < 0
        stays[order] = False
        active = active[stays]
    _encode_below(np.concatenate(moved), codes, residual, codebooks, level)


def rank_within(groups: np.ndarray) -> np.ndarray:
    """int64: how many earlier entries belong to the same group."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(groups[order]) != 0]) if len(groups) else np.empty(0, dtype=np.int64)
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))
    return ranks


def _encode_below(rows: np.ndarray, codes: np.ndarray, residual: np.ndarray, codebooks: np.ndarray, level: int) -> None:
    """Nearest codes of the levels below `level` for items that got a new code there."""
    rest = residual[rows] - codebooks[level][codes[rows, level]]
    for below in range(level + 1, len(codebooks)):
        step = max(1, _BLOCK_ELEMENTS // codebooks.shape[1])
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            codes[rows[part], below] = _squared_distances(rest[part], codebooks[below]).argmin(axis=1)
        rest -= codebooks[below][codes[rows, below]]


def _assign_last(codes: np.ndarray, residual: np.ndarray, codebook: np.ndarray, taken: np.ndarray) -> None:
    """Distinct last codes in every cell with a conflict, at minimum total squared distance; changes `codes`."""
    num_codes = len(codebook)
    parents, taken_parents, num_parents = _prefix_keys(codes, taken, codes.shape[1] - 1)
    ids = np.concatenate([parents * num_codes + codes[:, -1], taken_parents * num_codes + taken[:, -1]])
    values, counts = np.unique(ids, return_counts=True)
    in_conflict = np.zeros(num_parents, dtype=bool)
    in_conflict[values[counts > 1] // num_codes] = True
    rows = np.flatnonzero(in_conflict[parents])
    rows = rows[np.argsort(parents[rows], kind="stable")]
    if not len(rows):
        return
    taken_order = np.argsort(taken_parents, kind="stable")
    taken_sorted, taken_last = taken_parents[taken_order], taken[taken_order, -1]
    starts = np.flatnonzero(np.r_[True, np.diff(parents[rows]) != 0])
    ends = np.r_[starts[1:], len(rows)]
    for block in _blocks(starts, ends, max(1, _BLOCK_ELEMENTS // num_codes)):
        first = starts[block[0]]
        distances = _squared_distances(residual[rows[first : ends[block[-1]]]], codebook)
        for start, end in zip(starts[block], ends[block], strict=True):
            cell = rows[start:end]
            span = np.searchsorted(taken_sorted, [parents[cell[0]], parents[cell[0]] + 1])
            free = np.delete(np.arange(num_codes), taken_last[span[0] : span[1]])
            codes[cell, -1] = free[_cheapest_columns(distances[start - first : end - first][:, free])]


def _cheapest_columns(costs: np.ndarray) -> np.ndarray:
    """A different column for each row of [n, K], n <= K, at minimum total cost."""
    from scipy.optimize import linear_sum_assignment

    if (costs == costs[0]).all():  # copies of one item: any n cheapest codes will do, and ties slow the solver down
        return np.argsort(costs[0], kind="stable")[: len(costs)]
    return linear_sum_assignment(costs)[1]


def _blocks(starts: np.ndarray, ends: np.ndarray, max_rows: int) -> list[np.ndarray]:
    """Cells in runs that hold about `max_rows` rows together (a single cell may hold more)."""
    return np.split(np.arange(len(starts)), np.flatnonzero(np.diff(ends // max_rows)) + 1)


def _squared_distances(points: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """float64 [n, K]; never negative."""
    squares = np.square(points, dtype=np.float64).sum(axis=1)[:, None] + np.square(codebook, dtype=np.float64).sum(
        axis=1
    )
    return np.maximum(squares - 2 * (points.astype(np.float64) @ codebook.astype(np.float64).T), 0)
