"""The password of the Prefect server on this machine: made once, kept in a file that only its owner can read."""

import fcntl
import os
import secrets
import shlex
from pathlib import Path

from genrec.config import Config
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


def shown_by(store: str) -> str:
    """The command that prints the login of the server of a store, a folder or URL as the user named it."""
    default = store == Config.model_fields["store"].default
    return "python -m flows login" if default else f"python -m flows login --store {shlex.quote(store)}"


def known_auth_string(home: Path) -> str:
    """The `user:password` that a server under `home` has. Raises GenrecError where there is none yet."""
    if not password_file(home).is_file():
        raise GenrecError(f"{password_file(home)}: there is no password yet; make serve makes one at its first start")
    return auth_string(home)[0]
