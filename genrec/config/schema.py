"""Which settings a section has, and of what type, as far as the data at hand chooses its variants."""

from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from genrec.config import Chosen, Config, options_model


def section_at(section: tuple[str, ...], data: dict[str, Any]) -> type[BaseModel]:
    """The model of a section; of `...options`, that of the variant that the data chooses."""
    model: type[BaseModel] = Config
    given: Any = data
    for part in section:
        if part == "options" and issubclass(model, Chosen):
            field = model.variant_field
            name = given.get(field) if isinstance(given, dict) else None
            model = options_model(model.variant_package, str(name or model.model_fields[field].default))
        elif part.isdigit():
            given = given[int(part)] if isinstance(given, list) else {}
        elif part in model.model_fields:
            model = _section_type(model.model_fields[part].annotation) or model
            given = given.get(part, {}) if isinstance(given, dict) else {}
    return model


def text_or_none(annotation: Any) -> tuple[bool, bool]:
    """(whether a setting of this type is text or a path, whether it may also be null)."""
    kinds = [kind for kind in _members(annotation) if kind is not NoneType]
    return bool(kinds) and all(kind in (str, Path) for kind in kinds), NoneType in _members(annotation)


def _members(annotation: Any) -> list[Any]:
    """The types of a union; a literal counts as the types of its values."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return [type(value) for value in get_args(annotation)]
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    if get_origin(annotation) in (list, tuple, dict):
        return [get_origin(annotation)]
    return [member for part in get_args(annotation) for member in _members(part)]


def _section_type(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for a in get_args(annotation) if (section := _section_type(a))), None)
