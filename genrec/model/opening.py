"""The tokens that every prompt opens with: BOS and the words of the view, or those words in the chat template of the base.

They are part of the model: whoever loads it opens prompts with the tokens that it was trained with, whatever a template
would give on another day (some print the date) or under another version of a library.
"""

from pathlib import Path
from typing import Any, Protocol

from genrec.errors import ConfigError
from genrec.model import folder
from genrec.model.vocab import SidVocabulary


class Wording(Protocol):
    """Settings that every view has."""

    instruction: str
    chat: bool


def token_ids(files: Path, vocab: SidVocabulary, wording: Wording) -> list[int]:
    """Ids by the tokenizer in the folder `files`, which is not asked where there are no words.

    In a chat the words are the user's message, and the opening ends where the answer begins: the history is the answer so
    far, because every item of it is learned from those before it. What a template starts with stands in place of BOS.

    Raises ConfigError where a chat is asked for without words, or of a tokenizer that has no template.
    """
    words = wording.instruction
    if wording.chat and not words:
        raise ConfigError("sft.view.options.chat: there is no message to put into the template; set instruction too")
    if not words:
        return [vocab.bos_token_id]
    tokenizer = folder.load_tokenizer(files)
    if not wording.chat:
        return [vocab.bos_token_id, *_ids(tokenizer, words)]
    if not tokenizer.chat_template:
        raise ConfigError(
            "sft.view.options.chat: the tokenizer of base.model has no chat template; choose an Instruct base, or leave "
            "chat false: the instruction then follows BOS"
        )
    # Rendered by transformers in jinja's sandbox: a template is data.
    message = [{"role": "user", "content": words}]
    return _ids(tokenizer, tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
