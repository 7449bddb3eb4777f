"""A secret of this machine: made once, kept in a file that only its owner can read."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from genrec.errors import GenrecError


def secret_in(path: Path, make: Callable[[], str], what: str) -> tuple[str, bool]:
    """The secret in a file, and whether it was made just now, by `make`. `what` names it in messages.

    Raises GenrecError when others can read the file: then it is no secret any more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Locked while it is empty, for processes that start side by side: an empty one was left by a process that died.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise GenrecError(f"{path}: others can read the {what}; delete the file and a new one is made")
        known = file.read().strip()
        if known:
            return known, False
        fresh = make()
        file.write(fresh + "\n")
    return fresh, True
