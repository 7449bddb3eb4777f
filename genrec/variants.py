"""Variants: interchangeable modules of one package, chosen by name in the config.

A variant is one file. Every module of a package of variants is one, and defines its own `Config`, a frozen dataclass that
holds its settings; the module's name is its name in the YAML (what variants share lives in another package):

    sid:
      method: rqkmeans            # genrec/sid/tokenizers/rqkmeans.py
      options: {num_iterations: 25}

The list of variants is the listing of the package: no registry to edit, and no dotted path from the YAML is ever
imported. Listing imports nothing, choosing a variant imports that one, and a test imports and builds them all. So that
a config is checked fast, a variant imports at its top only torch, numpy, scipy.sparse, pyarrow and the like; heavier
libraries (faiss, gensim, implicit, sklearn) are imported in the functions that use them. Variant configs are plain
dataclasses, so that GPU modules need no pydantic.
"""

import dataclasses
import functools
import importlib
import importlib.util
import pkgutil
from types import ModuleType
from typing import Any

from genrec.errors import GenrecError


class BrokenVariant(GenrecError):
    """A module of a package of variants cannot be imported, or has no frozen dataclass `Config`."""


def setting(default: Any, doc: str, *, is_path: bool = False, later: bool = False, **bounds: Any) -> Any:
    """A dataclass field with its description and bounds (`ge`, `gt`, `le`, `lt`) for validation and the manual.

    is_path: a text that is, or may be, a path (see genrec/paths.py).
    later: it came after results had been stored without it; its default is what was done then, and stays out of cache keys.
    """
    metadata = {"doc": doc, "bounds": bounds, "is_path": is_path, "later": later}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@functools.cache
def names(package: str) -> tuple[str, ...]:
    """The names of the variants in a package, sorted. Raises ValueError where it is no package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ValueError(f"{package} is not a package")
    listed = pkgutil.iter_modules(spec.submodule_search_locations)
    return tuple(sorted(module.name for module in listed if not module.ispkg))


def _imported(package: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{package}.{name}")
    except Exception as error:  # code of any kind runs at import; the cause stays attached
        raise BrokenVariant(
            f"{package}.{name} cannot be imported ({type(error).__name__}: {error}); correct the module or remove it from "
            f"{package.replace('.', '/')}"
        ) from error


def load(package: str, name: str) -> ModuleType:
    """The module of the variant `name` of `package`; no other module is imported.

    Raises:
        KeyError: there is no such module.
        BrokenVariant: it cannot be imported, or has no `Config` of its own that is a frozen dataclass.
    """
    if name not in names(package):
        raise KeyError(name)
    module = _imported(package, name)
    config = vars(module).get("Config")
    own = isinstance(config, type) and config.__module__ == module.__name__
    parameters = vars(config).get("__dataclass_params__") if own else None  # of this class, not of one it inherits from
    if parameters is None or not parameters.frozen:
        raise BrokenVariant(
            f"{module.__name__}: needs a Config of its own, a frozen dataclass (@dataclass(frozen=True))"
        )
    return module


def build(package: str, name: str, options: dict[str, Any]) -> tuple[ModuleType, Any]:
    """The variant's module, and its `Config` with options that are validated already."""
    module = load(package, name)
    return module, module.Config(**options)
