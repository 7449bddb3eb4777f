"""The store that a command or a form works with."""

from genrec.config import Config
from genrec.errors import GenrecError
from genrec.store.local import Store, is_store
from genrec.store.remote import is_folder, local_root, open_store


def named(store: str | None) -> str:
    """The store, by default that of the config."""
    return store or Config.model_fields["store"].default


def at_url(store: str) -> Store | None:
    """The store at a URL; None for a folder, in which opening it would make those of a store."""
    return None if is_folder(store) else open_store(store)


def is_there(store: str | None) -> bool:
    """Whether there is a store, or an empty folder for one; at a URL: whether there can be one."""
    root = local_root(named(store))
    return not is_folder(named(store)) or is_store(root) or (root.is_dir() and not any(root.iterdir()))


def check_there(store: str | None) -> None:
    """Raises GenrecError where there is no store."""
    if not is_there(store):
        root = local_root(named(store))
        problem = "no store (it lacks the folders of one)" if root.is_dir() else "no such folder"
        raise GenrecError(f"store {root}: {problem}; give the --store that the runs had")


def open_existing(store: str | None) -> Store:
    """The store, which must be there: nothing is made in a mistyped folder, or in one of something else.

    Raises what `check_there` raises.
    """
    check_there(store)
    return open_store(named(store))
