"""How long-running functions report progress, independently of who shows it.

A stage function takes `progress: Progress = silent` and calls it now and then:

    progress(done, total, "epoch 3", loss=1.23)

`done` and `total` are in the same unit (items, steps, batches); keyword values are the figures worth watching.
"""

import json
import os
import time
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    def __call__(self, done: float, total: float, note: str = "", /, **values: float) -> None: ...


def silent(done: float, total: float, note: str = "", /, **values: float) -> None:
    """Report to nobody."""


class FileProgress:
    """Write the latest state to a small JSON file, at most a few times a second.

    A process on another machine follows it through the shared store; the rename makes every read whole.
    """

    def __init__(self, path: Path, min_interval_s: float = 0.2) -> None:
        self.path = path
        self.min_interval_s = min_interval_s
        self._written_at = 0.0

    def __call__(self, done: float, total: float, note: str = "", /, **values: float) -> None:
        now = time.monotonic()
        if now - self._written_at < self.min_interval_s and done < total:
            return
        self._written_at = now
        state = {"done": done, "total": total, "note": note, "values": {k: float(v) for k, v in values.items()}}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(state))
        os.replace(partial, self.path)


def read_progress(path: Path) -> dict | None:
    """The latest state a `FileProgress` wrote, or None when there is none yet."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
