"""Variants: interchangeable modules of one package, chosen by name in the config.

A variant is one file. A module of a package is a variant when it defines a class `Config`, a frozen dataclass
that holds its settings; the module's name is its name in the YAML:

    sid:
      method: rqkmeans            # genrec/sid/tokenizers/rqkmeans.py
      options: {num_iterations: 25}

The list of variants is the listing of the package: no registry to edit, and no dotted path from the YAML is ever
imported. Variant configs are plain dataclasses, so that GPU modules need no pydantic.
"""

import dataclasses
import functools
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

_DEFINES_CONFIG = re.compile(r"^class Config\b", re.MULTILINE)


def setting(default: Any, doc: str, **bounds: Any) -> Any:
    """A dataclass field with its description and bounds (`ge`, `gt`, `le`, `lt`) for validation and the manual."""
    metadata = {"doc": doc, "bounds": bounds}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@functools.cache
def names(package: str) -> tuple[str, ...]:
    """The names of the variants in a package, sorted; nothing is imported but the package itself."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ValueError(f"{package} is not a package")
    found = []
    for folder in spec.submodule_search_locations:
        for module in pkgutil.iter_modules([folder]):
            source = Path(folder) / f"{module.name}.py"
            if source.is_file() and _DEFINES_CONFIG.search(source.read_text(encoding="utf-8")):
                found.append(module.name)
    return tuple(sorted(found))


def load(package: str, name: str) -> ModuleType:
    """Import the variant `name` of `package`. Raises KeyError for a name that is not listed."""
    if name not in names(package):
        raise KeyError(name)
    return importlib.import_module(f"{package}.{name}")


def build(package: str, name: str, options: dict[str, Any]) -> tuple[ModuleType, Any]:
    """The variant's module and its `Config` made from already validated options."""
    module = load(package, name)
    return module, module.Config(**options)
