"""Names that tell things of the same kind apart."""

from collections.abc import Sequence


def distinct_names(names: Sequence[str]) -> list[str]:
    """The same names in order, the second of its kind as `name_2`, the third as `name_3`."""
    return [n if names[:i].count(n) == 0 else f"{n}_{names[:i].count(n) + 1}" for i, n in enumerate(names)]
