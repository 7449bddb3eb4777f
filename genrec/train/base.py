"""The base stage: a causal language model whose vocabulary holds the semantic-id tokens.

`scratch` is a small Qwen2-architecture model with random weights and a byte-level BPE of the catalogue's own text; any
other name is a local folder or a hub id. Either way the result is an ordinary Hugging Face folder.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch
from torch import nn

from genrec import tables
from genrec.errors import ConfigError
from genrec.model import folder
from genrec.model.precision import default_device
from genrec.model.vocab import SidVocabulary
from genrec.progress import Progress, silent
from genrec.seeding import seeded
from genrec.train import text
from genrec.train.layout_check import check_layout

if TYPE_CHECKING:
    from genrec.config import BaseConfig, ScratchConfig

_ROWS = 64  # a pretrained vocabulary is padded to a multiple: products with the head are several times slower otherwise
_END_OF_TEXT = "<|endoftext|>"


def build_base(
    config: "BaseConfig",
    num_levels: int,
    num_codes: int,
    catalogue: Path,
    seed: int,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the base model's folder to `out` and return a summary.

    `catalogue` is catalogue.parquet (its text trains the tokenizer of `scratch`). Raises ConfigError when a hub id or
    folder cannot be loaded, its weights are not safetensors, or its architecture is none that search can work with.
    """
    folder.quiet()
    texts = catalogue_texts(tables.read_table(catalogue, tables.CATALOGUE))
    with seeded(seed):
        if config.model == "scratch":
            tokenizer = train_tokenizer(texts, config.scratch.vocab_size)
            model = scratch_model(config.scratch, len(tokenizer) + num_levels * num_codes)
            tie_special_tokens(model, tokenizer)
        else:
            model, tokenizer = load_pretrained(config.model, config.revision)
            check_layout(model, config.model)
        vocab = add_sid_tokens(model, tokenizer, num_levels, num_codes, seed)
        loss = None
        if config.model == "scratch" and config.scratch.text_epochs:
            model.to(default_device())
            loss = text.train_on_text(model, tokenizer, texts, config.scratch.text_epochs, seed, progress)
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(out), safe_serialization=True)
    tokenizer.save_pretrained(str(out))
    folder.write_meta(out, {"kind": "base", "adapter": "full", "vocabulary": vars(vocab), "max_history": None})
    progress(1, 1, "base model written")
    summary = {
        "model": config.model,
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": model.get_input_embeddings().num_embeddings,
        "first_sid_token": vocab.first_token_id,
    }
    return summary if loss is None else {**summary, "text_loss": loss}


def catalogue_texts(table: pa.Table) -> list[str]:
    """One text an item: title, brand, categories and description, as far as there are any."""
    columns = [table[name].to_pylist() for name in ("title", "brand", "categories", "description")]
    return [
        "\n".join(part for part in (title, brand, ", ".join(categories), description) if part)
        for title, brand, categories, description in zip(*columns, strict=True)
    ]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer (every string is representable) of at most `vocab_size` tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[_END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=_END_OF_TEXT, eos_token=_END_OF_TEXT, pad_token=_END_OF_TEXT
    )


def scratch_model(config: "ScratchConfig", vocab_size: int) -> Any:
    """A Qwen2 model with tied embeddings and random weights from torch's current random state."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    if config.hidden_size % config.num_heads or config.num_heads % config.num_kv_heads:
        raise ConfigError(
            f"base.scratch: hidden_size {config.hidden_size} must be a multiple of num_heads {config.num_heads}, "
            f"and that of num_kv_heads {config.num_kv_heads}"
        )
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            tie_word_embeddings=True,
            dtype="float32",
        )
    )


def tie_special_tokens(model: Any, tokenizer: Any) -> None:
    """Make the model's config name the same special tokens as its tokenizer."""
    for settings in (model.config, model.generation_config):
        settings.bos_token_id = tokenizer.bos_token_id
        settings.eos_token_id = tokenizer.eos_token_id
        settings.pad_token_id = tokenizer.pad_token_id


def load_pretrained(name: str, revision: str | None) -> tuple[Any, Any]:
    """Model (in its own dtype) and tokenizer of a local folder or hub id; safetensors only, no remote code."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    safe: dict[str, Any] = {"revision": revision or "main", "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **safe)
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype="auto", use_safetensors=True, attn_implementation="sdpa", **safe
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"base.model: cannot load {name!r} ({reason}); give a local folder with safetensors weights, a hub id "
            "that this machine can reach, or `scratch`"
        ) from error
    return model, tokenizer


def add_sid_tokens(model: Any, tokenizer: Any, num_levels: int, num_codes: int, seed: int) -> SidVocabulary:
    """Append the semantic-id tokens to the tokenizer and give them rows in embedding and head.

    New rows are the mean of the old ones plus noise a tenth as wide as their spread: a neutral start (Hewitt 2021)
    that still tells the codes apart. Random weights are left as they are.
    """
    from tokenizers import AddedToken

    first = len(tokenizer)
    bos = first_token(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else bos
    vocab = SidVocabulary(num_levels, num_codes, first, int(bos), int(pad))
    added = tokenizer.add_tokens([AddedToken(s, normalized=False, special=False) for s in vocab.token_strings()])
    if added != vocab.num_tokens or tokenizer.convert_tokens_to_ids(f"<sid_{num_levels - 1}_{num_codes - 1}>") != (
        vocab.end_token_id - 1
    ):
        raise ConfigError("base.model: its tokenizer already holds <sid_...> tokens; start from the plain model")
    embedding = model.get_input_embeddings()
    is_scratch = embedding.num_embeddings == vocab.end_token_id
    if embedding.num_embeddings < vocab.end_token_id:
        model.resize_token_embeddings(vocab.end_token_id, pad_to_multiple_of=_ROWS, mean_resizing=False)
    if not is_scratch:
        generator = torch.Generator().manual_seed(seed)
        matrices = {id(m.weight): m.weight for m in (model.get_input_embeddings(), model.get_output_embeddings())}
        for weight in matrices.values():
            _initialise_rows(weight, first, vocab.end_token_id, generator)
    return vocab


def first_token(model: Any, tokenizer: Any) -> int:
    """The token that prompts start with: the tokenizer's BOS, or the model's, or else the end of a text, after which another
    one starts.

    Qwen2.5 has no BOS in its tokenizer and names <|endoftext|> in its config; an Instruct model's EOS is <|im_end|>, after
    which nothing starts. Raises ConfigError where there is none.
    """
    named = (tokenizer.bos_token_id, model.config.bos_token_id, tokenizer.eos_token_id)
    for token in named:
        if isinstance(token, int) and 0 <= token < len(tokenizer):
            return token
    raise ConfigError("base.model: its tokenizer has neither a BOS nor an EOS token to start a prompt with")


@torch.no_grad()
def _initialise_rows(weight: nn.Parameter, first: int, end: int, generator: torch.Generator) -> None:
    known = weight[:first].float()
    centre = known.mean(0)
    noise = torch.randn(end - first, weight.shape[1], generator=generator) * (known - centre).std().cpu() / 10
    weight[first:end] = (centre + noise.to(weight.device)).to(weight.dtype)
    weight[end:] = centre.to(weight.dtype)
