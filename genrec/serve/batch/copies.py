"""Finished lists in a folder of their user's choice."""

import os
import shutil
from pathlib import Path

from genrec.errors import GenrecError
from genrec.tables import RECOMMENDATIONS_FILE


def copy_out(artifact: Path, folder: Path) -> None:
    """Copy the parts of an artifact to a folder, by renaming it: no reader finds lists of two batches in it.

    Raises GenrecError for a folder that holds anything but lists that were copied there before.
    """
    folder = folder.absolute()
    others = [p.name for p in folder.glob("*") if p not in RECOMMENDATIONS_FILE.parts(folder)]
    if others or (folder.exists() and not folder.is_dir()):
        raise GenrecError(
            f"{folder}: holds {others[0] if others else 'a file'}, not recommendations; give a folder of its own"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = (folder.with_name(f".{folder.name}.{which}") for which in ("new", "old"))
    for left_over in (new, old):
        shutil.rmtree(left_over, ignore_errors=True)
    new.mkdir()
    for part in RECOMMENDATIONS_FILE.parts(artifact):
        shutil.copyfile(part, new / part.name)
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)
