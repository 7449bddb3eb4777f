"""The endpoint's log: one JSON object a line, on the standard error. No token and, unless asked for, no history in it."""

from __future__ import annotations

import contextlib
import datetime
import logging
import sys
import threading
import time
from typing import Any, TextIO

import orjson

from genrec.redact import redact

LOGGER = logging.getLogger("genrec.api")
_WAIT_S = 0.2


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


class Together(logging.Handler):
    """Writes lines to a stream many at a time: one for each request would take a twelfth of what the endpoint does.

    A line waits `wait_s` at most; what is worse than information is written at once, with all that waits. A process that is
    killed loses the lines that wait, and a stream that cannot be written those that it was given.
    """

    def __init__(self, stream: TextIO, wait_s: float = _WAIT_S) -> None:
        super().__init__()
        self._stream, self._wait_s = stream, wait_s
        self._lines: list[str] = []
        self._some = threading.Event()
        threading.Thread(target=self._write_in_time, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record))
            if record.levelno > logging.INFO:
                self.flush()
            elif not self._some.is_set():
                self._some.set()
        except Exception:  # as logging's own handlers do: what cannot be logged, or written, fails no request
            self.handleError(record)

    def flush(self) -> None:
        """Write all that waits."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
        finally:
            self.release()

    def _write_in_time(self) -> None:
        while self._some.wait():
            time.sleep(self._wait_s)
            self._some.clear()
            with contextlib.suppress(OSError, ValueError):  # a full disk, a closed stream: the next lines try again
                self.flush()


def set_up() -> None:
    """Write the endpoint's records, and those of the HTTP server that matter, as JSON lines."""
    handler = Together(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("genrec.api", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def log(level: int, message: str, exc_info: BaseException | None = None, **fields: Any) -> None:
    """Write a line."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, message, exc_info=exc_info, extra={"fields": fields})
