"""Paths as people write them: a `~` is the home folder, wherever a path is taken."""

import os
from typing import Annotated, Any


def expanded(path: str) -> str:
    """The path with a `~` or `~user` at its beginning as that home folder; other text, such as a URL, as it is."""
    return os.path.expanduser(path)


class _Expanded:
    """Tells pydantic to expand a text; pydantic is imported where it is used, by the settings alone."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(expanded, handler(source))


PathText = Annotated[str, _Expanded()]  # the type of a setting that is a path, or may be one
