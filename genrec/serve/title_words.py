"""Titles as words: what search and the names of semantic ids compare."""

import unicodedata
from collections.abc import Iterator

_UNSPACED = ("CJK UNIFIED", "HIRAGANA", "KATAKANA")  # writing without spaces: every character is a word


class _Separators(dict[int, str]):
    """A table for str.translate that leaves letters, digits and marks, and puts spaces between words."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if unicodedata.category(character)[0] not in "LNM":
            self[code] = " "
        elif unicodedata.name(character, "").startswith(_UNSPACED):
            self[code] = f" {character} "
        else:
            self[code] = character
        return self[code]


_SEPARATED = _Separators()


def plain(text: str) -> str:
    """The text without case and accents, characters of compatibility replaced: "Crème brûlée" is "creme brulee"."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not unicodedata.combining(c))).casefold()


def plain_words(text: str) -> list[str]:
    """The words of a text, in order, as `plain` writes them."""
    return plain(text).translate(_SEPARATED).split()


def spelled_words(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What stands between spaces, as words as `plain` writes them and as the text spells it without marks around it, in
    order: "(Freeze-Dried)" gives ("freeze", "dried") and "Freeze-Dried".
    """
    for spelled in unicodedata.normalize("NFC", text).split():
        if words := tuple(plain_words(spelled)):
            inside = [place for place, c in enumerate(spelled) if unicodedata.category(c)[0] in "LNM"]
            yield words, spelled[inside[0] : inside[-1] + 1] if inside else spelled
