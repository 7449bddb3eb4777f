"""Secrets stay out of what is written down: log lines, error messages, settings.

One detector for all ways in: names that say they hold a secret (`names`), values of a secret's shape (`shapes`), and the
values of the environment's variables with such names, which reach libraries that put them into their errors.
"""

import contextlib
import functools
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

from genrec.errors import GenrecError
from genrec.redact.names import NAME_AND_EQUALS, holds_secret, in_prose, is_secret_name
from genrec.redact.shapes import HIDDEN, hide_shapes, portable_pattern

__all__ = [
    "NAME_AND_EQUALS",
    "holds_secret",
    "is_secret_name",
    "portable_pattern",
    "redact",
    "settings_with_secrets",
    "without_secrets",
]

_SHORTEST = 8  # shorter values (`token`, `false`) are words that would be hidden everywhere
_HINT = re.compile("(?i)token|secret|passw|passph|credential|key|auth|pwd|pass")  # in a name; for speed
# `name=value`, `name: value` or `"name": "value"`. A word of lower case after a colon and before more is a sentence.
_NAMED = re.compile(
    r"(?<![\w.-])(-*[A-Za-z_][\w.-]*)([\"']?\s*)(=(?!=)\s*|:\s+(?![a-z]+\s+[a-z])|:(?=[\"']))"
    r"(\"[^\"]*\"|'[^']*'|[^\s'\"]+)"
)
_NO_SECRET = re.compile(r"(?i)(none|null|true|false|\d{0,4}|\*+|\.+|<\w*)$")  # values that say there is none


def secrets() -> list[str]:
    """The secrets in this process's environment, the longest first; of `user:password` the password too."""
    return list(_secrets(tuple(os.environ.get(name, "") for name in _variables(tuple(os.environ)))))


@functools.lru_cache(maxsize=8)
def _variables(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if holds_secret(name))


@functools.lru_cache(maxsize=8)
def _secrets(values: tuple[str, ...]) -> list[str]:
    found = {*values, *(value.partition(":")[2] for value in values)}
    return sorted((v for v in found if len(v) >= _SHORTEST and not v.isdigit()), key=len, reverse=True)


def redact(text: str) -> str:
    """The text with every secret replaced by `***`."""
    for secret in secrets():
        text = text.replace(secret, HIDDEN)
    text = hide_shapes(text)
    return _NAMED.sub(_without_value, text) if _HINT.search(text) else text


def _without_value(match: re.Match[str]) -> str:
    name, quote, separator, value = match.groups()
    bare = value.strip("\"'").rstrip(",;)}]>")
    if (
        in_prose(name, quoted=bool(quote.strip()), colon=":" in separator)
        or _NO_SECRET.match(bare)
        or not is_secret_name(name)
    ):
        return match[0]
    return f"{name}{quote}{separator}{value.replace(bare, HIDDEN)}"


def settings_with_secrets(settings: Any, at: str = "") -> list[str]:
    """The names of the settings, at any depth, that are called like a secret or whose text would have to be redacted.

    Of a name that is a secret itself, the place alone.
    """
    if isinstance(settings, dict):
        found = []
        for name, value in settings.items():
            shown = redact(str(name))
            place = f"{at}.{shown}" if at else shown
            found += [place] if is_secret_name(str(name)) or shown != str(name) else settings_with_secrets(value, place)
        return found
    if isinstance(settings, list | tuple):
        return [name for value in settings for name in settings_with_secrets(value, at)]
    return [at] if isinstance(settings, str) and redact(settings) != settings else []


@contextlib.contextmanager
def without_secrets() -> Iterator[None]:
    """What is logged from now on, and an error that leaves the block, holds no secret. Also a decorator.

    An error that does is replaced by a GenrecError with the redacted text and no cause: causes are printed, too.
    """
    _hide_in_logs()
    try:
        yield
    except Exception as error:
        if not any(redact(str(e)) != str(e) for e in _chain(error)):
            raise
        raise _redacted(error).with_traceback(error.__traceback__) from None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _redacted(error: Exception) -> Exception:
    text = redact(str(error))
    return type(error)(text) if isinstance(error, GenrecError) else GenrecError(f"{type(error).__name__}: {text}")


class _Record(logging.LogRecord):
    """A log record without secrets, whichever library and handler it is of."""

    def getMessage(self) -> str:
        return redact(super().getMessage())

    def __setattr__(self, name: str, value: Any) -> None:
        # Formatters keep the text of a traceback here, and print what they find.
        super().__setattr__(name, redact(value) if name == "exc_text" and isinstance(value, str) else value)


_hidden_in_logs = False


def _hide_in_logs() -> None:
    """Once a process. Other makers of records (Ray has one) wrap this one or are wrapped by it."""
    global _hidden_in_logs
    if _hidden_in_logs:
        return
    _hidden_in_logs = True
    made = logging.getLogRecordFactory()

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = made(*args, **kwargs)
        if type(record) is logging.LogRecord:
            record.__class__ = _Record
        return record

    logging.setLogRecordFactory(make)
