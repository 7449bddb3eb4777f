"""Which names say that what they name is a secret: `HF_TOKEN`, `MyApiKey`, `aws_secret_access_key`, `db_password`.

Names of text tokens and of lookup keys (`num_tokens`, `pad_token_id`, `cache_key`) do not.
"""

import functools
import re

# In any place of a name, with or without a separator before it.
ANYWHERE = (
    "password", "passwd", "passphrase", "secret", "credential", "apikey", "accesskey", "privatekey", "authtoken",
    "accesstoken", "apitoken", "authorization",
)  # fmt: skip
_OF_TEXT = re.compile(
    "sid|extra|special|pad|padding|bos|eos|unk|sep|cls|mask|start|end|begin|stop|first|last|next|previous|"
    "prev|per|item|text|word|sub|new|image|each|every|one|single|unexpected|invalid|illegal|bad"
)  # before `token`: one of a tokenizer or a parser
_OF_LOOKUP = re.compile(
    "primary|foreign|cache|sort|sorting|join|group|public|item|user|artifact|row|dict|index|column|unique|"
    "object|lookup|partition|config|state|ordering|stage|missing"
)  # before `key`
_AFTER_TOKEN = re.compile("id|ids|index|indices|type|types|count|embedding|embeddings|length|budget")
_PASS = re.compile("db|database|user|root|admin|login|account|smtp|mail|ssh|key|proxy|ftp|http")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Of an environment variable: one that holds a secret, and one that says where it is or how it is used.
_VARIABLE = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTH(?!OR)|AUTHORI[ZS]|KEY|PASS$|.PWD$")
_NO_VALUE = re.compile(r"(PATH|FILE|MODE|SOCK|DIR|URL|ENDPOINT|TYPE|METHOD)$|^OLDPWD$")
_ADDRESSES = ("GENREC_ALERTS_URL",)  # addresses that are secrets themselves


def holds_secret(variable: str) -> bool:
    """Whether an environment variable of this name holds a secret."""
    name = variable.upper()
    return name in _ADDRESSES or (bool(_VARIABLE.search(name)) and not _NO_VALUE.search(name))


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a setting, field or variable of this name, dotted or not, in any case, is there to hold a secret."""
    return any(_is_secret(part) for part in name.split("."))


def in_prose(name: str, quoted: bool, colon: bool) -> bool:
    """Whether a name of a single word, found in text before a colon or equals sign, is too common to be a secret's.

    `key` always is (artifacts have one); others where they are neither a quoted field nor before an equals sign.
    """
    last = name.rpartition(".")[2].lower()
    return last == "key" or (last in ("token", "auth", "pwd") and colon and not quoted)


def _is_secret(part: str) -> bool:
    joined = re.sub(r"[^a-z0-9]", "", part.lower())
    if any(word in joined for word in ANYWHERE):
        return True
    split = ([w.lower() for w in _WORD.findall(part)], re.findall(r"[a-z]+|\d+", part.lower()))
    return any(_has_secret_word(words) for words in split)


def _has_secret_word(words: list[str]) -> bool:
    return any(
        _is_secret_word(before, word, after)
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False)
    )


def _is_secret_word(before: str, word: str, after: str) -> bool:
    if word in ("auth", "pwd"):
        return after not in ("mode", "type", "method")
    if word.endswith("token"):
        return not any(p.fullmatch(w) for p, w in ((_OF_TEXT, before), (_OF_TEXT, word[:-5]), (_AFTER_TOKEN, after)))
    if word == "key":
        return (not _OF_LOOKUP.fullmatch(before) and after in ("", "id")) or after.isdigit()
    return word == "pass" and bool(_PASS.fullmatch(before))


def _any_case(word: str) -> str:
    return "".join(f"[{c.upper()}{c}]" for c in word)


# The same in a pattern that browsers, JSON schemas and Python read alike (no flags, nothing that looks behind), for the
# start of a name up to the = or : after it. It knows no exceptions: for text in which no setting of ours is one.
NAME_AND_EQUALS = (
    f"(?:{'|'.join(map(_any_case, ANYWHERE))}|{_any_case('token')}(?![A-Za-z])|{_any_case('auth')}(?![A-Za-z])|"
    f"(?:[^A-Za-z]{_any_case('key')}|[a-z]Key)(?![A-Za-z])|{_any_case('_pwd')}|{_any_case('_pass')}(?![A-Za-z]))"
    "[A-Za-z0-9_-]*[\"']?\\s*[:=]"
)
