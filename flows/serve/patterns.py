"""JSON schemas of the forms' text fields: no secrets, and settings by their names.

Prefect stores what a form is given before any of our code runs: so the server has to refuse it, by schema. Patterns are
read by Python (the server) and may be by a browser: no flags in them, nothing that looks behind.
"""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from genrec.config import Chosen, Config
from genrec.redact import NAME_AND_EQUALS, portable_pattern

WITHOUT_SECRETS = rf"(?![\s\S]*{portable_pattern()})(?![\s\S]*{NAME_AND_EQUALS})"
_OPTIONS = r"(?:\.[A-Za-z_][A-Za-z0-9_]*)*"  # of a variant: it checks their names itself, when the run starts


def refused_unless(pattern: str, meant: str) -> dict[str, Any]:
    """A JSON schema for text that matches, and otherwise is refused in words, without what was typed or the pattern.

    A refusal by `pattern` itself repeats both; the one by `const` says "'<the constant>' was expected" and no more.
    """
    return {"if": {"pattern": pattern}, "else": {"const": meant}}


def setting_names() -> str:
    """A pattern for the dotted name of any setting or section."""
    return _any_of(Config)


def _any_of(section: type[BaseModel]) -> str:
    return "(?:" + "|".join(_names(section)) + ")"


def _names(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        if name == "options" and issubclass(section, Chosen):
            yield name + _OPTIONS
        else:
            yield name if inner is None else rf"{name}(?:\.{_any_of(inner)})?"


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a setting is, also an optional one; None for a list of sections, which is written as a whole."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
