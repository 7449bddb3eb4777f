"""Where a step puts what does not fit into memory."""

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def spill_folder(folder: Path) -> Iterator[Path]:
    """An empty folder in `folder`, removed afterwards.

    It is no other call's, for a worker that was given up may still write its own and remove it in the end. What a killed
    one left goes with `folder`, which the stage removes.
    """
    place = folder / f"spill-{uuid.uuid4().hex}"
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
