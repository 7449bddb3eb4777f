"""What is made once of a catalogue's items and serves every snapshot that has the same ones."""

import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from genrec.serve.catalogue import Catalogue

_Made = TypeVar("_Made")


class OncePerItems(Generic[_Made]):
    """Makes something of a catalogue when it is first asked for, and keeps it as long as the items are there.

    Snapshots that differ in their stock alone share their semantic ids, by which they are told to be of the same items.
    """

    def __init__(self, make: Callable[[Catalogue], _Made]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[int, _Made] = {}

    def of(self, catalogue: Catalogue) -> _Made:
        """What was made of the catalogue's items; threads that ask while it is made wait for it."""
        key = id(catalogue.sids)
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(catalogue)
                weakref.finalize(catalogue.sids, self._made.pop, key, None)
            return self._made[key]
