"""The password of the Prefect server on this machine: made once, kept in a file that only its owner can read."""

import fcntl
import os
import secrets
from pathlib import Path

from genrec.errors import GenrecError

USER = "genrec"


def password_file(home: Path) -> Path:
    return home / "password"


def auth_string(home: Path) -> tuple[str, bool]:
    """`user:password` for PREFECT_SERVER_API_AUTH_STRING, and whether it was made just now.

    Raises GenrecError when others can read the file: then the password is no secret any more.
    """
    path = password_file(home)
    home.mkdir(parents=True, exist_ok=True)
    # Locked while it is empty, for runs that start side by side: an empty one was left by a process that died.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise GenrecError(f"{path}: others can read the password; delete the file and a new one is made")
        known = file.read().strip()
        if known:
            return known, False
        fresh = f"{USER}:{secrets.token_urlsafe(18)}"
        file.write(fresh + "\n")
    return fresh, True
