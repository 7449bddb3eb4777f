"""The store that a command or a form works with."""

from genrec.config import Config
from genrec.errors import GenrecError
from genrec.store.local import Store
from genrec.store.remote import is_url, local_root, open_store


def named(store: str | None) -> str:
    """The store, by default that of the config."""
    return store or Config.model_fields["store"].default


def at_url(store: str) -> Store | None:
    """The store at a URL; None for a folder, in which opening it would make those of a store."""
    return open_store(store) if is_url(store) else None


def open_existing(store: str | None) -> Store:
    """The store, which must be there: a mistyped folder is not made. Raises GenrecError."""
    root = local_root(named(store))
    if not is_url(named(store)) and not root.is_dir():
        raise GenrecError(f"store {root}: no such folder; give the --store that the runs had")
    return open_store(named(store))
