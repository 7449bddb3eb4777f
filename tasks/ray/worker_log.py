"""Log lines of Ray's processes (workers, learners, actors), passed on through small files in the stage's work folder.

The process that waits for the stage reads them and logs them where it logs itself: in Prefect that is the task run of
the stage. So Ray's processes need neither Prefect nor its address nor its password. Secrets are replaced where the line
is written, because the environment that holds them may be that process's alone.
"""

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from genrec.redact import redact

_SUFFIX = ".worker-log"
_own: Path | None = None  # the file that this process logs to


class _LineFile(logging.Handler):
    """One JSON line a record, flushed at once: the last lines of a killed process are kept."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(message)s"))
        path.parent.mkdir(parents=True, exist_ok=True)
        self.sink = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  (closed with the handler)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.sink.write(json.dumps([record.levelno, redact(self.format(record))]) + "\n")
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self.sink.close()
        super().close()


@contextlib.contextmanager
def log_to(path: Path) -> Iterator[logging.Logger]:
    """Inside the block: what `genrec` logs from INFO up, and what any library warns of, goes to the file."""
    global _own
    handler = start_logging_to(path)
    try:
        yield logging.getLogger("genrec")
    finally:
        _own = None
        logging.captureWarnings(False)  # or the next block's call would do nothing
        for name in ("genrec", None):
            logging.getLogger(name).removeHandler(handler)
        handler.close()


def start_logging_to(path: Path) -> logging.Handler:
    """For the rest of the process's life, as an actor does it."""
    global _own
    _own = path
    handler = _LineFile(path)
    logging.captureWarnings(True)
    own, everything = logging.getLogger("genrec"), logging.getLogger()
    own.setLevel(logging.INFO)
    own.propagate = False
    own.addHandler(handler)
    everything.addHandler(handler)  # its level stays: WARNING
    return handler


def beside_own(name: str) -> str | None:
    """A file for a process that this one starts, followed by whoever follows this one's; None where nobody does."""
    return str(_own.with_name(f"{_own.name.removesuffix(_SUFFIX)}-{name}{_SUFFIX}")) if _own else None


class LogReader:
    """Follows the log files that the Ray processes of one call write into `work`."""

    def __init__(self, work: Path) -> None:
        self.work, self.name = work, f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._read: dict[Path, int] = {}

    def file(self, worker: int | str) -> Path:
        return self.work / f"{self.name}-{worker}{_SUFFIX}"

    def new(self) -> Iterator[tuple[int, str]]:
        """(level, text) of the whole lines that came since the last call, file by file."""
        for path in sorted(self.work.glob(f"{self.name}-*{_SUFFIX}")):
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as source:
                source.seek(self._read.get(path, 0))
                whole, newline, _ = source.read().rpartition(b"\n")
                self._read[path] = self._read.get(path, 0) + len(whole) + len(newline)
                for line in whole.splitlines():
                    level, text = json.loads(line)
                    yield int(level), str(text)

    def remove(self) -> None:
        for path in self.work.glob(f"{self.name}-*{_SUFFIX}"):
            path.unlink(missing_ok=True)
