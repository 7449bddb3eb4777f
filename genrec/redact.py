"""Secrets stay out of what is written down: log lines, error messages, settings.

A secret is the value of an environment variable whose name says so, what stands before the @ of a URL, and a signature
or key in its query. They reach libraries through the environment; libraries put them into their errors.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from typing import Any

from genrec.errors import GenrecError

HIDDEN = "***"
_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH|KEY")  # of a variable that holds one
_NO_VALUE = re.compile(
    r"(PATH|FILE|MODE|SOCK|DIR|URL|ENDPOINT|TYPE|METHOD)$"
)  # of one that says where it is, or how it is used
_SHORTEST = 8  # shorter values (`token`, `false`) are words that would be hidden everywhere
_URL_USER = re.compile(r"(?<=://)[^\s/@'\"]+(?=@)")
_URL_QUERY = re.compile(r"(?i)([?&][\w-]*(?:token|secret|password|sig|signature|key)=)[^&\s'\"]+")


def holds_secret(name: str) -> bool:
    """Whether an environment variable of this name holds a secret."""
    return bool(_NAME.search(name)) and not _NO_VALUE.search(name)


def secrets() -> list[str]:
    """The secrets in this process's environment, the longest first; of `user:password` the password too."""
    found = set()
    for name, value in os.environ.items():
        if holds_secret(name):
            found |= {value, value.partition(":")[2]}
    return sorted((v for v in found if len(v) >= _SHORTEST and not v.isdigit()), key=len, reverse=True)


def redact(text: str) -> str:
    """The text with every secret replaced by `***`."""
    for secret in secrets():
        text = text.replace(secret, HIDDEN)
    return _URL_QUERY.sub(rf"\g<1>{HIDDEN}", _URL_USER.sub(HIDDEN, text))


def settings_with_secrets(settings: Any, at: str = "") -> list[str]:
    """The names of the settings, at any depth, whose text would have to be redacted."""
    if isinstance(settings, dict):
        inner = [(f"{at}.{name}" if at else str(name), value) for name, value in settings.items()]
    elif isinstance(settings, list | tuple):
        inner = [(at, value) for value in settings]
    else:
        return [at] if isinstance(settings, str) and redact(settings) != settings else []
    return [name for below, value in inner for name in settings_with_secrets(value, below)]


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
