"""The password of the Prefect server on this machine: made once, kept in a file that only its owner can read."""

import secrets
import shlex
from pathlib import Path

from genrec.config import Config
from genrec.errors import GenrecError
from genrec.store.secret_file import secret_in

USER = "genrec"


def password_file(home: Path) -> Path:
    return home / "password"


def auth_string(home: Path) -> tuple[str, bool]:
    """`user:password` for PREFECT_SERVER_API_AUTH_STRING, and whether it was made just now.

    Raises GenrecError when others can read the file: then the password is no secret any more.
    """
    return secret_in(password_file(home), lambda: f"{USER}:{secrets.token_urlsafe(18)}", "password")


def shown_by(store: str) -> str:
    """The command that prints the login of the server of a store, a folder or URL as the user named it."""
    default = store == Config.model_fields["store"].default
    return "python -m flows login" if default else f"python -m flows login --store {shlex.quote(store)}"


def known_auth_string(home: Path) -> str:
    """The `user:password` that a server under `home` has. Raises GenrecError where there is none yet."""
    if not password_file(home).is_file():
        raise GenrecError(f"{password_file(home)}: there is no password yet; make serve makes one at its first start")
    return auth_string(home)[0]
