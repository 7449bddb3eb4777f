"""Search in the titles of a catalogue: an inverted index over sorted words, where a prefix is one run of postings."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.serve.title_words import plain, plain_words

MAX_WORDS = 16  # of a query that are looked at
_BEHIND = chr(0x10FFFF)  # sorts behind whatever follows a prefix
_BEGINNING, _WHOLE = 1, 2  # how well a word of a query fits one of a title
_MATCH = _WHOLE * MAX_WORDS + 1  # one word matched more outweighs how well all of them fit


class TitleIndex:
    """Words of N titles. A query's words match whole words or their beginnings, whatever their case and accents.

    Titles that match most words come first, and titles that match fewer are left out. Then those with more whole words,
    those that begin as the query does, the popular ones. An item's id counts as a word of its title.
    """

    def __init__(self, item_ids: Sequence[str], titles: Sequence[str], popularity: NDArray[np.integer]) -> None:
        """`popularity` int[N], of any unit."""
        numbers: dict[str, int] = {}
        items, words, beginnings = [], [], []
        for item, (item_id, title) in enumerate(zip(item_ids, titles, strict=True)):
            of_title = plain_words(title)
            beginnings.append(" ".join(of_title))
            for word in {*of_title, *plain_words(item_id), plain(item_id)}:
                items.append(item)
                words.append(numbers.setdefault(word, len(numbers)))
        self._words = sorted(numbers)
        place = np.empty(len(numbers), dtype=np.int64)
        place[[numbers[word] for word in self._words]] = np.arange(len(numbers))
        postings = place[np.array(words, dtype=np.int64)]
        self._items = np.array(items, dtype=np.int64)[np.argsort(postings, kind="stable")]
        self._starts = np.concatenate([[0], np.bincount(postings, minlength=len(numbers)).cumsum()])
        self._by_beginning = np.array(sorted(range(len(beginnings)), key=beginnings.__getitem__), dtype=np.int64)
        self._beginnings = [beginnings[item] for item in self._by_beginning]
        # What decides among titles that fit equally well: popularity, then the order of the catalogue.
        self._standing = np.empty(len(beginnings), dtype=np.int64)
        self._standing[np.lexsort((-np.arange(len(beginnings)), popularity))] = np.arange(len(beginnings))

    def search(self, query: str, limit: int) -> NDArray[np.int64]:
        """Numbers of the at most `limit` items that fit best, int64[n], best first; none for a query without words."""
        item_id = plain(query.strip())
        words = [item_id] if self._is_word(item_id) else [*dict.fromkeys(plain_words(query))][:MAX_WORDS]
        fit = np.zeros(len(self._standing), dtype=np.int64)
        for word in words:
            fit += self._fit(word)
        most = int(fit.max(initial=0)) // _MATCH
        if not most:
            return np.empty(0, dtype=np.int64)
        found = np.flatnonzero(fit >= most * _MATCH)
        begins = np.zeros(len(fit), dtype=np.int64)
        begins[self._by_beginning[_run(self._beginnings, " ".join(plain_words(query)))]] = 1
        key = (2 * fit[found] + begins[found]) * len(fit) + self._standing[found]
        if len(found) > limit:
            best = np.argpartition(-key, limit - 1)[:limit]
            found, key = found[best], key[best]
        return found[np.argsort(-key)]

    def _fit(self, word: str) -> NDArray[np.int64]:
        """int64[N]: 0 where the word is in no way in a title, else `_MATCH` and how well it fits."""
        fit = np.zeros(len(self._standing), dtype=np.int64)
        run = _run(self._words, word)
        fit[self._items[self._starts[run.start] : self._starts[run.stop]]] = _MATCH + _BEGINNING
        if self._is_word(word):  # it sorts before all that it begins
            fit[self._items[self._starts[run.start] : self._starts[run.start + 1]]] = _MATCH + _WHOLE
        return fit

    def _is_word(self, word: str) -> bool:
        place = bisect_left(self._words, word)
        return place < len(self._words) and self._words[place] == word


def _run(ordered: list[str], beginning: str) -> slice:
    """Where the texts that begin so are in a sorted list."""
    return slice(bisect_left(ordered, beginning), bisect_left(ordered, beginning + _BEHIND))
