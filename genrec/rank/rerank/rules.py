"""Business rules: items pinned to a place, moved up or moved down by category, brand, newness or stock.

Rules apply in their order, each to the list that the one before leaves.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from genrec.rank.rerank.parts.lists import Ints, Lists, Reordered
from genrec.variants import setting


@dataclass(frozen=True)
class Rule:
    """What is to happen to the items that meet all conditions; at least one condition is needed."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    action: Literal["pin", "boost", "bury"]
    category: str | None = None  # most specific category of the item
    brand: str | None = None
    new: bool | None = None
    in_stock: bool | None = None
    places: int = 0  # boost, bury: so many places up or down; 0: before, or behind, all others
    at: int = 1  # pin: the place of the first
    count: int = 1  # pin: how many items

    def __post_init__(self) -> None:
        if self.category is None and self.brand is None and self.new is None and self.in_stock is None:
            raise ValueError("a rule needs a condition: category, brand, new or in_stock")
        if self.places < 0 or self.at < 1 or self.count < 1:
            raise ValueError("places must be 0 or more, at and count 1 or more")


@dataclass(frozen=True)
class Config:
    """Business rules."""

    rules: list[Rule] = setting(  # noqa: RUF009 (a field)
        [],
        "In order: {action: pin, boost or bury, category, brand, new, in_stock: conditions that must all hold, places: how "
        "far to boost or bury (0: to the end), at, count: place and number of pinned items}.",
    )


def tune(lists: Lists, options: Config, k: int, seed: int) -> "Rules":
    """Nothing is learned."""
    return Rules(options)


def restore(state: dict[str, Any], options: Config) -> "Rules":
    """From `Rules.state`."""
    return Rules(options)


class Rules:
    """A re-ranker."""

    def __init__(self, options: Config) -> None:
        given = options.rules
        self.rules = [rule if isinstance(rule, Rule) else Rule(**rule) for rule in given]

    def rerank(self, lists: Lists, k: int) -> Reordered:
        """Every rule in turn. A condition that the data cannot answer (no such category, no stock) matches nothing and is
        counted.
        """
        order = np.broadcast_to(np.arange(lists.width), lists.item.shape).copy()
        warnings = Counter[str]()
        for rule in self.rules:
            matches = _matches(rule, lists, warnings)
            matches = np.take_along_axis(matches, order, axis=1)
            present = np.take_along_axis(lists.present, order, axis=1)
            order = np.take_along_axis(order, _moved(rule, matches, present), axis=1)
        return Reordered(order, warnings=warnings)

    def state(self) -> dict[str, Any]:
        """Nothing is learned."""
        return {}


def _matches(rule: Rule, lists: Lists, warnings: Counter[str]) -> NDArray[np.bool_]:
    """bool [U, C]: the candidates that meet the conditions."""
    facts, result = lists.facts, lists.present
    for kind, name, names, codes in (
        ("category", rule.category, facts.category_names, facts.category),
        ("brand", rule.brand, facts.brand_names, facts.brand),
    ):
        if name is None:
            continue
        number = _number(name, names)
        if number < 0:
            warnings[f"no {kind} {name}"] += 1
        result = result & (lists.of_items(codes, -1) == number) & (number >= 0)
    for kind, wanted, values in (
        ("new", rule.new, None if "new" not in lists.aims else lists.aims["new"] > 0.5),
        ("in_stock", rule.in_stock, None if facts.in_stock is None else lists.of_items(facts.in_stock, False)),
    ):
        if wanted is None:
            continue
        if values is None:
            warnings[f"unknown {kind}"] += 1
        result = result & (values == wanted) if values is not None else np.zeros_like(result)
    return result


def _number(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else -1


def _moved(rule: Rule, matches: NDArray[np.bool_], present: NDArray[np.bool_]) -> Ints:
    """The order int64 [U, C] that a rule makes of a list of which some match."""
    width = matches.shape[1]
    if rule.action == "pin":
        matches = matches & (matches.cumsum(axis=1) <= rule.count)
    others: Ints = (
        np.cumsum(~matches, axis=1) - ~matches
    )  # before each item: those that do not match, which it may pass
    if rule.action == "pin":
        moved = np.full(matches.shape, min(rule.at - 1, width))
    else:
        distance = rule.places or width
        moved = others - distance if rule.action == "boost" else others + distance
    key = np.where(matches, moved, others + 0.5)
    return np.argsort(np.where(present, key, 4 * width), axis=1, kind="stable")
