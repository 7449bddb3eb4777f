"""LoRA and QLoRA adapters that also train the semantic-id rows of the embedding and of the output head."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from genrec.errors import ConfigError
from genrec.model.vocab import SidVocabulary
from genrec.seeding import seeded


def attach(
    model: Any,
    vocab: SidVocabulary,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    seed: int,
    targets: Sequence[str] = (),
    trainable_rows: bool = True,
) -> Any:
    """Put a LoRA adapter (Hu et al. 2021) on the linear layers of the body called `targets` (q_proj, ...), none: on all;
    returns the PEFT model.

    A pretrained model has learned nothing about the semantic-id tokens, so with `trainable_rows` their rows are trained
    in full and saved with the adapter; a head that is not tied to the embedding gets its own. Raises ConfigError for a
    target that is no linear layer of the body.
    """
    linear = {name.rpartition(".")[2] for name, m in model.base_model.named_modules() if isinstance(m, torch.nn.Linear)}
    unknown = sorted(set(targets) - linear)
    if unknown:
        raise ConfigError(f"sft.lora_targets: {unknown[0]!r} is no linear layer of the model; known: {sorted(linear)}")
    from peft import LoraConfig, get_peft_model

    from genrec.model.trained_rows import read_in_place

    indices = list(range(vocab.first_token_id, vocab.end_token_id))
    rows = {"embed_tokens": indices}
    if not model.config.tie_word_embeddings:
        rows["lm_head"] = indices
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=sorted(targets) or "all-linear",
        bias="none",
        task_type="CAUSAL_LM",
        trainable_token_indices=rows if trainable_rows else None,
    )
    with seeded(seed):
        return read_in_place(get_peft_model(model, config))


@contextlib.contextmanager
def tied_rows() -> Iterator[None]:
    """Meanwhile PEFT does not warn that rows of a tied embedding are trained: it ties the head's to them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        yield


def casting_layers(model: Any) -> list[Any]:
    """The layers of an adapter that cast their input to the type of its weights."""
    return [module for module in model.modules() if hasattr(module, "cast_input_dtype_enabled")]


@contextlib.contextmanager
def inputs_as_they_are(layers: list[Any]) -> Iterator[None]:
    """Meanwhile these layers leave their input to autocast: cast to float32, it would be cast back at once."""
    before = [layer.cast_input_dtype_enabled for layer in layers]
    for layer in layers:
        layer.cast_input_dtype_enabled = False
    try:
        yield
    finally:
        for layer, casts in zip(layers, before, strict=True):
            layer.cast_input_dtype_enabled = casts


def token_rows(module: Any, first: int, end: int) -> torch.Tensor:
    """The rows `first:end` of an embedding or output head, [end - first, D], as the forward would use them.

    When an adapter trains exactly these rows it holds them itself, in order; asking the wrapped module for its weight
    would copy the whole matrix first.
    """
    tokens = getattr(module, "token_adapter", module)
    if not hasattr(tokens, "trainable_tokens_delta"):
        return module.weight[first:end]
    if tokens.disable_adapters or not tokens.active_adapters:
        return tokens.get_base_layer().weight[first:end]
    return tokens.trainable_tokens_delta[tokens.active_adapters[0]]


def is_part(name: str) -> bool:
    """Whether a parameter of this name is an adapter's own."""
    return any(
        mark in name for mark in ("lora_", "trainable_tokens_delta", "modules_to_save", ".prefix.", "prefix_trunk.")
    )


def is_rounded_in_use(name: str) -> bool:
    """Whether a forward takes an adapter's parameter of this name in the type it computes in: matrices of LoRA, keys and values
    of a prefix. Embeddings and rows of heads are used as they are.
    """
    return ".lora_" in name or name.endswith(".prefix.weight")


def weight_bytes(model: Any) -> int:
    """Bytes that the weights take where they are, packed 4-bit ones and their scales included; tied ones once."""
    tensors = {p.data_ptr(): p for p in (*model.parameters(), *model.buffers())}
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    for parameter in tensors.values():
        state = getattr(parameter, "quant_state", None)
        nested = (state, getattr(state, "state2", None))
        scales = [getattr(s, name, None) for s in nested for name in ("absmax", "code", "offset")]
        total += sum(s.numel() * s.element_size() for s in scales if isinstance(s, torch.Tensor))
    return int(total)


def trainable_share(model: Any) -> float:
    """Trainable parameters divided by all, an adapter's own included; packed 4-bit weights count as two a byte."""
    trainable = total = 0
    for parameter in model.parameters():
        count = parameter.numel()
        if type(parameter).__name__ == "Params4bit":
            count *= 2 * parameter.element_size()
        total += count
        trainable += count if parameter.requires_grad else 0
    return trainable / total
