"""Variants: interchangeable modules of one package, chosen by name in the config.

A variant is one file. A module of a package is a variant when it defines its own `Config`, a frozen dataclass that
holds its settings; the module's name is its name in the YAML:

    sid:
      method: rqkmeans            # genrec/sid/tokenizers/rqkmeans.py
      options: {num_iterations: 25}

The list of variants is the listing of the package: no registry to edit, and no dotted path from the YAML is ever
imported. Listing a package imports its modules, so a variant imports at its top only what the config needs anyway
(torch, numpy, scipy.sparse, pyarrow); heavier libraries (faiss, gensim, implicit, sklearn) are imported in the
functions that use them. Variant configs are plain dataclasses, so that GPU modules need no pydantic.
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
    """A module of a package of variants cannot be imported, or its `Config` is no frozen dataclass."""


def setting(default: Any, doc: str, **bounds: Any) -> Any:
    """A dataclass field with its description and bounds (`ge`, `gt`, `le`, `lt`) for validation and the manual."""
    metadata = {"doc": doc, "bounds": bounds}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@functools.cache
def names(package: str) -> tuple[str, ...]:
    """The names of the variants in a package, sorted. Modules without a `Config` of their own are none.

    Raises:
        ValueError: `package` is not a package.
        BrokenVariant: a module of it cannot be imported, or its `Config` is no frozen dataclass.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ValueError(f"{package} is not a package")
    modules = [module.name for module in pkgutil.iter_modules(spec.submodule_search_locations) if not module.ispkg]
    return tuple(sorted(name for name in modules if _is_variant(_imported(package, name))))


def _imported(package: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{package}.{name}")
    except Exception as error:  # code of any kind runs at import; the cause stays attached
        raise BrokenVariant(
            f"{package}.{name} cannot be imported ({type(error).__name__}: {error}); correct the module or remove it from "
            f"{package.replace('.', '/')}"
        ) from error


def _is_variant(module: ModuleType) -> bool:
    config = vars(module).get("Config")
    if not isinstance(config, type) or config.__module__ != module.__name__:
        return False
    parameters = vars(config).get("__dataclass_params__")  # of this class, not of one it inherits from
    if parameters is None or not parameters.frozen:
        raise BrokenVariant(f"{module.__name__}: Config must be a frozen dataclass (@dataclass(frozen=True))")
    return True


def load(package: str, name: str) -> ModuleType:
    """The module of the variant `name` of `package`. Raises KeyError for a name that is not listed."""
    if name not in names(package):
        raise KeyError(name)
    return importlib.import_module(f"{package}.{name}")


def build(package: str, name: str, options: dict[str, Any]) -> tuple[ModuleType, Any]:
    """The variant's module, and its `Config` with options that are validated already."""
    module = load(package, name)
    return module, module.Config(**options)
