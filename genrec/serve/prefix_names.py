"""Readable names of the prefixes of semantic ids: the words most typical of the items below, and what they are called.

A term is a word of a title or a whole category. Of the items below a prefix a share p has it, of the catalogue a share
q; the terms with the highest p * log(p / q) name the prefix. It is a term's part of the divergence between the two (Tomokiyo & Hurst
2003, A language model approach to keyphrase extraction, "informativeness"); unlike an inverse frequency alone, as in
c-TF-IDF, it does not prefer a word that a single item has.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrec.serve.title_words import plain_words, spelled_words

NUM_WORDS = 3  # that name a prefix


class PrefixName(NamedTuple):
    """A prefix of a semantic id."""

    codes: tuple[int, ...]
    words: list[str]  # most typical of the items below; [] for one item, or where they have none
    title: str | None  # of the only item below
    num_items: int  # below


class PrefixNames:
    """Names for the prefixes of N semantic ids of L levels. The same catalogue gives the same names."""

    def __init__(self, sids: NDArray[np.integer], titles: Sequence[str], categories: Sequence[Sequence[str]]) -> None:
        """`sids` int[N, L]; titles and categories of the N items. Reads every title once."""
        self._sids, self._titles = sids, titles
        numbers: dict[tuple[str, ...], int] = {}
        spellings: list[Counter[str]] = []
        terms, counts = [], []
        for title, labels in zip(titles, categories, strict=True):
            of_item = _terms(title, labels)
            for term, spelled in of_item.items():
                number = numbers.setdefault(term, len(numbers))
                if number == len(spellings):
                    spellings.append(Counter())
                spellings[number][spelled] += 1
                terms.append(number)
            counts.append(len(of_item))
        self._words = list(numbers)
        self._spelled = [spelling.most_common(1)[0][0] for spelling in spellings]
        self._terms = np.array(terms, dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._having = np.bincount(self._terms, minlength=len(numbers))  # items of the catalogue, by term

    def path(self, sid: Sequence[int]) -> list[PrefixName]:
        """The prefixes of an id of the catalogue, shortest first. What names a prefix, and what all items below it have, does
        not name a longer one.

        Raises ValueError for an id that no item has.
        """
        names, said = [], set[str]()
        below = np.arange(len(self._sids))
        for level, code in enumerate(sid):
            below = below[self._sids[below, level] == code]
            if not len(below):
                raise ValueError(f"no item has an id that begins {tuple(sid[: level + 1])}")
            title = self._titles[below[0]] if len(below) == 1 else None
            terms, shared = self._typical(below, said) if title is None else ([], [])
            for term in [*terms, *shared]:
                said |= _stems(self._words[term])
            names.append(PrefixName(tuple(sid[: level + 1]), [self._spelled[t] for t in terms], title, len(below)))
        return names

    def _typical(self, items: NDArray[np.int64], said: set[str]) -> tuple[list[int], list[int]]:
        """The terms most typical of the items, at most NUM_WORDS, in the order in which they first stand in one: categories,
        then words; none holds only words that were said or that another one holds. And the terms that all items have.
        """
        of_items = [self._terms[self._starts[item] : self._starts[item + 1]] for item in items]
        terms, first, having = np.unique(np.concatenate(of_items), return_index=True, return_counts=True)
        share = having / len(items)
        typical = share * np.log(share * len(self._sids) / self._having[terms])
        words = [self._words[term] for term in terms]
        order = sorted(range(len(terms)), key=lambda i: (-typical[i].round(9), -len(words[i]), words[i]))
        chosen: list[int] = []
        for i in order:
            if len(chosen) == NUM_WORDS or (typical[i] <= 0 < typical[order[0]]):
                break
            stems = _stems(words[i])
            if not any(stems <= other for other in [said, *(_stems(words[j]) for j in chosen)]):
                chosen = [j for j in chosen if not _stems(words[j]) <= stems] + [i]
        return terms[sorted(chosen, key=lambda i: first[i])].tolist(), terms[having == len(items)].tolist()


def _terms(title: str, labels: Iterable[str]) -> dict[tuple[str, ...], str]:
    """The terms of an item, each the words it holds, and how the item spells them: whole categories, words of the title.

    Numbers and words of one or two letters name nothing.
    """
    terms = {tuple(plain_words(label)): label for label in labels}
    for words, spelled in spelled_words(title):
        if any(len(word) > 2 and not word.isdigit() for word in words):
            terms.setdefault(words, spelled)
    terms.pop((), None)
    return terms


def _stems(words: Iterable[str]) -> set[str]:
    """Words by which terms are told apart: English singular and plural are one."""
    singular = (word[:-1] if word.endswith("s") and not word.endswith("ss") else word for word in words)
    return {word.removesuffix("e") if len(word) > 3 else word for word in singular}
