"""Libraries that only some rankers need, imported where they are used."""

import importlib
from types import ModuleType

from genrec.errors import ConfigError


def imported(name: str, extra: str) -> ModuleType:
    """The library. Raises ConfigError where it is not installed, with the extra of genrec that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{name} is not installed ({error}); install it with: pip install 'genrec[{extra}]', or choose another ranker"
        ) from None
