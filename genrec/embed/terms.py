"""The terms of a text, as the LSA encoders count them."""

import re

from genrec.embed.texts import CATEGORY_SEPARATOR, LABELS

_LABEL = re.compile(rf"^(?:{'|'.join(LABELS.values())}): ", re.MULTILINE)
_SEGMENT = re.compile(rf"{re.escape(CATEGORY_SEPARATOR)}|\n")
_WORD = re.compile(r"\w+")


def terms(text: str, max_ngram: int) -> list[str]:
    """Runs of 1..max_ngram words that do not cross a line or a category; field labels are no words."""
    words_and_runs = []
    for segment in _SEGMENT.split(_LABEL.sub("", text).lower()):
        words = _WORD.findall(segment)
        words_and_runs += words
        for n in range(2, max_ngram + 1):
            words_and_runs += [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    return words_and_runs
