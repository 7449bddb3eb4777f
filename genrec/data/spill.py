"""Where a step puts what does not fit into memory."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

NAME = "spill"


@contextlib.contextmanager
def spill_folder(folder: Path) -> Iterator[Path]:
    """An empty folder in `folder`, removed afterwards; what a killed process left there is removed before."""
    place = folder / NAME
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
