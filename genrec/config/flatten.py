"""Nested settings as one level of dotted names."""

from collections.abc import Mapping
from typing import Any


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}, in the order of the settings. Lists, and mappings without entries, are leaves."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{name}.{inner}": leaf for inner, leaf in flatten(value).items()}
        else:
            flat[name] = value
    return flat
