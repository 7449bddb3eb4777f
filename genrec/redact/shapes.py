"""Which values are secrets whatever they are called: tokens of known shapes, passwords in URLs, text that looks random.

The PyPI package detect-secrets (1.5.0) has shapes, too; those of `PORTABLE` take in its own of the same kind. It is not used:
one log line takes it 580 microseconds (`redact` as a whole: 18), it imports 280 modules, `requests` among them, which a
bare GPU machine lacks, it does not know tokens of Hugging Face, and its entropy rule reports every commit hash.

The patterns of `PORTABLE` are read alike by Python and by the ECMA engines of browsers: no flags, nothing that looks
behind. Each has to begin where a word does.
"""

import re
from collections.abc import Callable

HIDDEN = "***"
_WORD = "[A-Za-z0-9]"
# A place between two characters of other classes (lower case, upper case, digit), but for a capital before lower case.
_CHANGE = "(?:[a-z](?=[A-Z0-9])|[0-9](?=[A-Za-z])|[A-Z](?=[0-9]))"
_NO_CHANGE = "(?:[a-z](?![A-Z0-9])|[0-9](?![A-Za-z])|[A-Z](?![0-9]))"
_DIGIT = "(?:[A-Za-z](?=[0-9])|[0-9](?=[A-Za-z]))"  # such a place beside a digit
_NO_DIGIT = "(?:[A-Za-z](?![0-9])|[0-9](?![A-Za-z]))"

# The measure of randomness: at least 16 letters and digits in a row, of all three classes, that change class at least 6
# times, twice of these to or from a digit. It misses 0.7% of random strings of 32 letters and digits, 9% of those of 20,
# 7% of AWS secret keys (40 characters with + and /) and 6% of `token_urlsafe(32)`. It cannot see hexadecimal secrets,
# because commit hashes and keys of artifacts look the same. It finds none of the harmless values of its test (paths, ids,
# class names, names of models, dates, ASINs), and none in the code, docs and reports of this project.
RANDOM = (
    f"(?={_WORD}{{16}})(?={_WORD}*[A-Z])(?={_WORD}*[a-z])(?=(?:{_NO_DIGIT}*{_DIGIT}){{2}})"
    f"(?:{_NO_CHANGE}*{_CHANGE}){{6}}{_WORD}*"
)

_URL_SAFE = "[A-Za-z0-9_-]"
PORTABLE = {
    "Hugging Face": r"(?:hf_|api_org_)[A-Za-z0-9]{16,}",
    "OpenAI, Anthropic": rf"sk-(?={_URL_SAFE}*[0-9]){_URL_SAFE}{{16,}}",
    "GitHub": r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,})",
    "GitLab": rf"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941){_URL_SAFE}{{16,}}",
    "Slack": r"(?:xox[a-z]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/services/[A-Za-z0-9_/]{10,})",
    "AWS": r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}",
    "Google": rf"(?:AIza{_URL_SAFE}{{30,}}|ya29\.{_URL_SAFE}{{16,}})",
    "JWT": rf"eyJ{_URL_SAFE}{{8,}}\.{_URL_SAFE}{{8,}}(?:\.{_URL_SAFE}*)?",
    "npm": r"npm_[A-Za-z0-9]{16,}",
    "PyPI": rf"pypi-(?={_URL_SAFE}*[A-Z])(?={_URL_SAFE}*[0-9]){_URL_SAFE}{{16,}}",
    "SendGrid": rf"SG\.{_URL_SAFE}{{16,}}\.{_URL_SAFE}{{16,}}",
    "Stripe, Square": r"(?:[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|sq0csp-[A-Za-z0-9_-]{16,})",
    "Telegram": rf"[0-9]{{8,10}}:{_URL_SAFE}{{35}}",
    "random": RANDOM,
}
_QUERY_NAMES = "token|secret|password|passwd|sig|signature|key|credential|accessid|auth"
_ANY_CASE = re.compile("[a-z]")
# Parts of text that need not begin where a word does.
PORTABLE_ANYWHERE = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY",
    r"://[^\s/@]*@",  # user:password@, or a token in its place
    "://[^\\s/@:]*:(?![0-9]+/)[^\\s@'\"]*@",  # a password with a slash
    r"[?&][A-Za-z0-9_-]*(?:%s)=" % _ANY_CASE.sub(lambda c: f"[{c[0].upper()}{c[0]}]", _QUERY_NAMES),  # noqa: UP031
    r"[Bb][Ee][Aa][Rr][Ee][Rr]\s+[A-Za-z0-9._~+/=-]{8,}",
)

_Replacement = str | Callable[[re.Match[str]], str]
# A pattern, what stands for a match, and what the text has to contain for a match (for speed; () for nothing).
_IN_TEXT: list[tuple[re.Pattern[str], _Replacement, tuple[str, ...]]] = [
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"),
        HIDDEN,
        ("-----BEGIN",),
    ),
    (re.compile(r"(?<=://)[^\s/@:'\"]+:(?![0-9]+/)[^\s@'\"]+(?=@)"), HIDDEN, ("://",)),
    (re.compile(r"(?<=://)[^\s/@'\"]+(?=@)"), HIDDEN, ("://",)),
    (re.compile(rf"(?i)([?&][\w-]*(?:{_QUERY_NAMES})=)[^&\s'\"]+"), rf"\g<1>{HIDDEN}", ("?", "&")),
    (re.compile(r"\b((?i:bearer|basic))(\s+)(?=[^\s]*[0-9A-Z])[A-Za-z0-9._~+/=-]{8,}"), rf"\1\2{HIDDEN}", ()),
]
_KNOWN = re.compile(rf"(?<!{_WORD})(?:{'|'.join(p for name, p in PORTABLE.items() if name != 'random')})")
_RANDOM = re.compile(rf"(?<!{_WORD}){RANDOM}")
_LONG = re.compile(r"[A-Za-z0-9+_=/-]{16,}")  # of base64, too


def hide_shapes(text: str) -> str:
    """The text with every value of a secret's shape replaced by `***`."""
    for pattern, instead, marks in _IN_TEXT:
        if not marks or any(mark in text for mark in marks):
            text = pattern.sub(instead, text)
    if _LONG.search(text) is None and ":" not in text:
        return text
    return _LONG.sub(_without_random, _KNOWN.sub(HIDDEN, text))


def _without_random(match: re.Match[str]) -> str:
    return HIDDEN if _RANDOM.search(match[0]) else match[0]


def portable_pattern() -> str:
    """One pattern for a secret of any shape in any place of a text, for JSON schemas."""
    words = "|".join(PORTABLE.values())
    return f"(?:{'|'.join(PORTABLE_ANYWHERE)}|(?:^|[^A-Za-z0-9])(?:{words}))"
