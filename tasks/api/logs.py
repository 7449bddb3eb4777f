"""The endpoint's log: one JSON object a line, on the standard error. No token and, unless asked for, no history in it."""

from __future__ import annotations

import datetime
import logging
import sys
from typing import Any

import orjson

from genrec.redact import redact

LOGGER = logging.getLogger("genrec.api")


class JsonLines(logging.Formatter):
    """A record as a JSON object: at, level, message, and the `fields` given with it."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        message = record.getMessage()
        if record.levelno > logging.INFO:  # the others have no text from elsewhere, and there is one a request
            message = redact(message)
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "message": message}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS, default=str).decode()


def set_up() -> None:
    """Write the endpoint's records, and those of the HTTP server that matter, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("genrec.api", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def log(level: int, message: str, exc_info: BaseException | None = None, **fields: Any) -> None:
    """Write a line."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, message, exc_info=exc_info, extra={"fields": fields})
