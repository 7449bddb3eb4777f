"""Token ids of text that comes from data: a title that spells a special token is a title.

`<|im_end|>` or `<sid_0_1>` in a review means nothing; read as the token, it would end a turn or stand for an item. The switch
of tokenizers that turns special tokens into text leaves other added ones, semantic ids among them, as they are.
"""

import json
from collections.abc import Sequence
from typing import Any

from genrec.errors import ConfigError


def encode_plain(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text by a transformers tokenizer, none of them an added token; no BOS, no EOS.

    Raises ConfigError for a tokenizer that is not one of the tokenizers library.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ConfigError(
            f"base.model: its tokenizer is a {type(tokenizer).__name__}, which has no tokenizer.json; choose a base with one"
        )
    settings = json.loads(backend.to_str())
    settings |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    plain = Tokenizer.from_str(json.dumps(settings))
    return [encoding.ids for encoding in plain.encode_batch(list(texts), add_special_tokens=False)]
