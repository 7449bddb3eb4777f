"""JSON schemas of the forms' text fields: no secrets, settings by their names, values of the right type.

Prefect stores what a form is given before any of our code runs: so the server has to refuse it, by schema. Patterns are
read by Python (the server) and may be by a browser: no flags in them, nothing that looks behind.
"""

import re
from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from genrec.config import Chosen, Config
from genrec.redact import NAME_AND_EQUALS, portable_pattern

WITHOUT_SECRETS = rf"(?![\s\S]*{portable_pattern()})(?![\s\S]*{NAME_AND_EQUALS})"
WRITE = "write section.setting=value (conf/README.md lists the settings; no passwords or tokens)"
_OPTIONS = r"(?:\.[A-Za-z_][A-Za-z0-9_]*)*"  # of a variant: it checks their names itself, when the run starts
_TYPES = {  # what a value is, in words: and as YAML
    "a whole number, such as 3": r"[+-]?[0-9][0-9_]*(?:\.0*)?",
    "a number, such as 0.5 or 1e-3": r"[+-]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?",
    "true or false": "(?:[Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF)",
}
_WORDS = dict(zip((int, float, bool), _TYPES, strict=True))
_NULL = "(?:null|Null|NULL|~)"


def refused_unless(pattern: str, meant: str) -> dict[str, Any]:
    """A JSON schema for text that matches, and otherwise is refused in words, without what was typed or the pattern.

    A refusal by `pattern` itself repeats both; the one by `const` says "'<the constant>' was expected" and no more.
    """
    return {"if": {"pattern": pattern}, "else": {"const": meant}}


def setting_schema() -> dict[str, Any]:
    """A JSON schema for `section.setting=value`: a setting that there is, no secret, a value of the setting's type.

    Bounds, and values that are lists, mappings or options of variants, are checked when the run starts.
    """
    of_type = [
        {"if": {"pattern": f"^(?:{'|'.join(names)}) *="}, "then": refused_unless(f"^[^=]*= *{value} *$", meant)}
        for (meant, value), names in _by_type().items()
    ]
    return {**refused_unless(f"^{WITHOUT_SECRETS}{setting_names()} *=", WRITE), "then": {"allOf": of_type}}


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


def _by_type() -> dict[tuple[str, str], list[str]]:
    """The patterns of the names of settings, by what their value has to be: (in words, as a pattern)."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, annotation in _plain_settings(Config):
        kind = _kind(annotation)
        if kind is not None:
            meant, value = kind
            found.setdefault((f"after the = {meant}", value), []).append(re.escape(name))
    return found


def _plain_settings(section: type[BaseModel], at: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, type) of every setting that is no section."""
    for name, field in section.model_fields.items():
        inner = _section(field.annotation)
        if inner is None:
            yield at + name, field.annotation
        else:
            yield from _plain_settings(inner, f"{at}{name}.")


def _kind(annotation: Any) -> tuple[str, str] | None:
    """What a value of a type is, in words and as a pattern of YAML; None where it is not known by its letters."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        choices = [str(choice) for choice in get_args(annotation)]
        names = "|".join(map(re.escape, choices))
        return " or ".join(choices), f"""(?:{names}|'(?:{names})'|"(?:{names})")"""
    if annotation in _WORDS:
        meant = _WORDS[annotation]
        return meant, _TYPES[meant]
    kinds = get_args(annotation)
    if NoneType in kinds and len(kinds) == 2:
        inner = _kind(next(kind for kind in kinds if kind is not NoneType))
        return inner and (f"{inner[0]}, or null", f"(?:{inner[1]}|{_NULL})")
    return None


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a setting is, also an optional one; None for a list of sections, which is written as a whole."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
