"""Every setting by its dotted name, those of all variants included."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from genrec import variants
from genrec.config import Chosen, Config, options_model


def every_setting(section: type[BaseModel] = Config, at: str = "") -> Iterator[str]:
    """The names of the settings and sections, those inside lists under the name of the list."""
    for name, _ in settings_with_defaults(section, at):
        yield name


def settings_with_defaults(section: type[BaseModel] = Config, at: str = "") -> Iterator[tuple[str, Any]]:
    """(name, default) of every setting; the default of one that has to be given is None."""
    for name, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        yield at + name, None if default is PydanticUndefined else default
        for inner in (field.annotation, *get_args(field.annotation)):
            for candidate in (inner, *get_args(inner)):
                if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                    yield from settings_with_defaults(candidate, f"{at}{name}.")
    if issubclass(section, Chosen):
        for variant in variants.names(section.variant_package):
            yield from settings_with_defaults(options_model(section.variant_package, variant), f"{at}options.")
