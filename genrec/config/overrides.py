"""`--set section.setting=value`: text as it is where the setting is text or a path, YAML everywhere else."""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

import yaml

from genrec.config.schema import section_at, text_or_none
from genrec.errors import ConfigError, GenrecError
from genrec.redact import redact


@dataclass(frozen=True)
class Override:
    """One `--set`; `source` is what messages call it."""

    path: tuple[str, ...]
    text: str
    source: str

    def nested(self, value: Any) -> dict[str, Any]:
        """The setting with this value, as a config file would have it."""
        for part in reversed(self.path):
            value = {part: value}
        return value

    def value(self, data: dict[str, Any]) -> Any:
        """What is set; `data`: the settings so far, which choose the variants. Raises ConfigError for broken YAML."""
        is_text, may_be_null = self._is_text(data)
        if is_text:
            return None if may_be_null and self.text == "null" else _unquoted(self.text)
        return self._from_yaml()

    def guess(self) -> Any:
        """What is set where it is YAML, else its text: enough to know which variants are chosen."""
        try:
            return self._from_yaml()
        except ConfigError:
            return self.text

    def _is_text(self, data: dict[str, Any]) -> tuple[bool, bool]:
        # A variant of a wrong name, or one that cannot be imported, is told by the validation that follows.
        with contextlib.suppress(KeyError, GenrecError):
            field = section_at(self.path[:-1], data).model_fields.get(self.path[-1])
            if field is not None:
                return text_or_none(field.annotation)
        return False, False

    def _from_yaml(self) -> Any:
        try:
            value = yaml.safe_load(self.text) if self.text else ""
        except yaml.YAMLError:
            raise ConfigError(f"{self.source}: the value is not YAML; quote it") from None
        if isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
            with contextlib.suppress(ValueError):
                value = float(value) if any(c.isdigit() for c in value) else value
        return value


def parse_override(override: str, number: int) -> Override:
    """`number`: of the override, from 1. Raises ConfigError where it is not section.setting=value."""
    path, equals, text = override.partition("=")
    if not equals or not _NAME.fullmatch(path.strip()):
        raise ConfigError(f"--set, number {number}: write section.setting=value, such as sft.epochs=10")
    return Override(tuple(path.strip().split(".")), text, redact(f"--set {path.strip()}"))


def _unquoted(text: str) -> str:
    """A text without the quotes of YAML around it, where it has some."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        with contextlib.suppress(yaml.YAMLError):
            value = yaml.safe_load(text)
            return value if isinstance(value, str) else text
    return text


_NAME = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")  # a name, dotted
