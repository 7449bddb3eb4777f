"""The log of the Prefect server: kept below a size, with the part before beside it."""

import contextlib
import os
import shutil
from pathlib import Path

MAX_BYTES = 10_000_000


def keep_small(log: Path) -> None:
    """Above MAX_BYTES: move what it holds to `<log>.1`, over what was there, and go on in an empty one.

    Its writers, of which there may be several, append: they go on at the new end. A line written just meanwhile is lost.
    """
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > MAX_BYTES:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
