"""Finished lists in a folder of their user's choice."""

import errno
import os
import shutil
from pathlib import Path

from genrec.errors import GenrecError
from genrec.tables import RECOMMENDATIONS_FILE

_COPYING = ".copying"  # the end of a part's name until it is whole
_OF_A_DISK = "lost+found"  # in the topmost folder of a file system
_CANNOT_BE_RENAMED = (errno.EBUSY, errno.EXDEV)  # a mount point; a folder of a container's image


def copy_out(artifact: Path, folder: Path) -> None:
    """Copy the parts of an artifact to a folder: no reader finds lists of two batches in it.

    The folder is exchanged by renaming, whole. A mount point cannot be renamed: in it, the parts of before go first, and
    the new ones, copied by then, are renamed; so for a moment a reader finds fewer there.

    Raises GenrecError for a folder that holds anything but lists that were copied there before.
    """
    folder = folder.absolute()
    is_mount = os.path.ismount(folder)
    ours = {*RECOMMENDATIONS_FILE.parts(folder), *folder.glob(f"*{_COPYING}")}
    others = [p.name for p in folder.glob("*") if p not in ours and not (is_mount and p.name == _OF_A_DISK)]
    if others or (folder.exists() and not folder.is_dir()):
        raise GenrecError(
            f"{folder}: holds {others[0] if others else 'a file'}, not recommendations; give a folder of its own"
        )
    if is_mount or not _exchange(artifact, folder):
        _fill(artifact, folder)


def _exchange(artifact: Path, folder: Path) -> bool:
    """Put a new folder in the place of one; False where that one cannot be renamed, and is as before."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new, old = (folder.with_name(f".{folder.name}.{which}") for which in ("new", "old"))
    for left_over in (new, old):
        shutil.rmtree(left_over, ignore_errors=True)
    new.mkdir()
    for part in RECOMMENDATIONS_FILE.parts(artifact):
        shutil.copyfile(part, new / part.name)
    if folder.exists():
        try:
            os.rename(folder, old)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            if error.errno in _CANNOT_BE_RENAMED:  # also a mount that `ismount` cannot tell, of the same disk
                return False
            raise
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)
    return True


def _fill(artifact: Path, folder: Path) -> None:
    """Put the parts in the place of those in the folder."""
    for left_over in folder.glob(f"*{_COPYING}"):
        left_over.unlink()
    copied = []
    for part in RECOMMENDATIONS_FILE.parts(artifact):
        copied.append(folder / f".{part.name}{_COPYING}")
        shutil.copyfile(part, copied[-1])
    for before in RECOMMENDATIONS_FILE.parts(folder):
        before.unlink()
    for path in copied:
        path.rename(folder / path.name.removeprefix(".").removesuffix(_COPYING))
