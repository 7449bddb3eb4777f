"""How many bytes of keys and values the searches of a block hold: counted in the very tensors they keep."""

import contextlib
from collections.abc import Iterator
from unittest import mock

from genrec.search import decode


@contextlib.contextmanager
def kv_held() -> Iterator[list[int]]:
    """Yields a list that gets the bytes of every search at its end, both of the stock layers and of the fused ones."""
    caches: list = []
    held: list[int] = []
    read, search = decode._read, decode._search

    def reading(*arguments):
        caches.append(read(*arguments))
        return caches[-1]

    def searching(*arguments):
        found = search(*arguments)
        held.append(_bytes_of(caches.pop()))
        return found

    with mock.patch.object(decode, "_read", reading), mock.patch.object(decode, "_search", searching):
        yield held


def _bytes_of(siblings) -> int:
    if isinstance(siblings, decode.FusedSiblings):
        return siblings._cache.nbytes
    return sum(cache.keys.nbytes + cache.values.nbytes for cache in siblings._body._caches)
