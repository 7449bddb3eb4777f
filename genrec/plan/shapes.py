"""Sizes of the language models that a config names, without their weights."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrec.errors import ConfigError

if TYPE_CHECKING:
    from genrec.config import ScratchConfig

_ROWS = 64  # a pretrained vocabulary is padded to a multiple, as the base stage does
# Qwen2.5's config.json files: width, width of the MLP, layers, heads, heads of keys and values, rows, tied head
_QWEN = {
    "0.5B": (896, 4864, 24, 14, 2, 151_936, True),
    "1.5B": (1536, 8960, 28, 12, 2, 151_936, True),
    "3B": (2048, 11_008, 36, 16, 2, 151_936, True),
    "7B": (3584, 18_944, 28, 28, 4, 152_064, False),
}
_QWEN_TOKENS = 151_665  # of its tokenizer; the rows behind them are not used


@dataclass(frozen=True)
class ModelShape:
    """A causal language model as transformers builds it; `source` says in words where its size comes from."""

    name: str
    source: str
    config: Any  # transformers' PretrainedConfig
    num_tokens: int  # of its tokenizer: semantic-id tokens come behind

    def with_tokens(self, num_tokens: int) -> Any:
        """The config of the model with so many tokens more, as the base stage makes it."""
        import copy

        config = copy.deepcopy(self.config)
        needed = self.num_tokens + num_tokens
        if needed > config.vocab_size:
            config.vocab_size = needed if self.name == "scratch" else -(-needed // _ROWS) * _ROWS
        return config


def shape_of(setting: str, name: str, revision: str | None, scratch: "ScratchConfig | None" = None) -> ModelShape:
    """The model called `name` (`scratch`, a folder or a hub id), the value of a setting.

    A hub model that is not in the local cache is taken from a table of the Qwen2.5 family, and else asked of the hub.
    Raises ConfigError where it is none of these.
    """
    if name == "scratch" and scratch is not None:
        return _scratch(scratch)
    config, tokens, where = _local(name, revision)
    if config is None:
        config, tokens, where = _from_table(name)
    if config is None:
        config, tokens, where = _from_hub(setting, name, revision)
    return ModelShape(name, where, config, tokens or int(config.get_text_config().vocab_size))


def _scratch(config: "ScratchConfig") -> ModelShape:
    import torch

    from genrec.train.base import scratch_model

    with torch.device("meta"):
        return ModelShape("scratch", "base.scratch", scratch_model(config, config.vocab_size).config, config.vocab_size)


def _local(name: str, revision: str | None) -> tuple[Any, int, str]:
    """From a folder, or the local cache of the hub."""
    from transformers import AutoConfig, AutoTokenizer

    known: dict[str, Any] = {"revision": revision or "main", "local_files_only": True, "trust_remote_code": False}
    try:
        config = AutoConfig.from_pretrained(name, **known)
    except (OSError, ValueError):
        return None, 0, ""
    where = "its config.json" if Path(name).is_dir() else "the local cache of the hub"
    try:
        return config, len(AutoTokenizer.from_pretrained(name, **known)), where
    except (OSError, ValueError):
        return config, 0, where


def _from_table(name: str) -> tuple[Any, int, str]:
    match = re.fullmatch(r"Qwen/Qwen2\.5-([0-9.]+B)(-Instruct)?", name)
    if match is None or match[1] not in _QWEN:
        return None, 0, ""
    from transformers import Qwen2Config

    width, inner, layers, heads, kv_heads, rows, tied = _QWEN[match[1]]
    config = Qwen2Config(
        vocab_size=rows,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        tie_word_embeddings=tied,
        dtype="bfloat16",
    )
    return config, _QWEN_TOKENS, "a table of known sizes (the hub was not asked)"


def _from_hub(setting: str, name: str, revision: str | None) -> tuple[Any, int, str]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, revision=revision or "main", trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        known = ", ".join(f"Qwen/Qwen2.5-{size}" for size in _QWEN)
        raise ConfigError(
            f"{setting}: the size of {name!r} is not known here ({reason}); give a folder with its config.json, "
            f"`scratch`, or one of {known}"
        ) from error
    return config, 0, "the hub"
