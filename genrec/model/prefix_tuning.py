"""P-Tuning v2: learned keys and values before the first position of every layer (Liu et al. 2021, arXiv 2110.07602, section 3).

PEFT calls it prefix tuning and passes a cache to its own forward. Search and training here call layers one by one and
put keys and values in their own places, so every attention adds its prefix itself: whatever keys it is about to read,
those of the prefix come before them, and every position sees them. One way for the prompt layout, sibling tokens, packed
histories and a plain forward alike. As in PEFT's forward, what follows V prefix positions has the rotary positions V, V + 1, ...

A saved prefix is an adapter of PEFT's format. The rows of the semantic-id tokens are trained beside it as another one
(`TrainableTokensConfig`).

Shapes: V prefix positions, B rows, H key-value heads of d dimensions, T positions.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import DynamicCache

from genrec.errors import DataError
from genrec.model import adapter
from genrec.model.precision import in_float32
from genrec.model.vocab import SidVocabulary
from genrec.seeding import seeded

FOLDER = "prefix"  # inside the folder of an adapter
_CONFIG, _WEIGHTS, _TENSOR = "adapter_config.json", "adapter_model.safetensors", "prompt_embeddings"  # names of PEFT
_COMMON = (
    5000  # BPE numbers tokens by how common they are; Lester et al. 2021 (arXiv 2104.08691), section 3.2, start so too
)


class Prefix(nn.Module):
    """Keys and values of one layer, as they are: float [V, 2 * H * d], keys first."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self) -> torch.Tensor:
        return self.weight


class ProjectedPrefix(nn.Module):
    """The same out of a small network, the trunk of which all layers share (Li & Liang 2021, arXiv 2101.00190, section 4.3)."""

    def __init__(self, trunk: nn.Sequential, positions: int, width: int, size: int) -> None:
        super().__init__()
        self._trunk = [trunk]  # in a list: no part of this module, it is held once
        self.register_buffer("places", torch.arange(positions), persistent=False)
        self.out = nn.Linear(width, size)

    def forward(self) -> torch.Tensor:
        with in_float32(self.out.weight.device):
            return self.out(self._trunk[0](self.places))


class _PrefixedCache:
    """What an attention takes for its cache: the keys and values that it is about to read, behind those of its prefix."""

    def __init__(self, prefix: torch.Tensor, cache: Any) -> None:
        self._prefix, self._cache = prefix, cache

    def update(self, keys: torch.Tensor, values: torch.Tensor, *args: Any, **more: Any) -> Any:
        """Keys and values [B, H, T, d] go to the cache, where there is one; the prefix is never stored there."""
        if self._cache is not None:
            keys, values = self._cache.update(keys, values, *args, **more)
        states = self._prefix.view(len(self._prefix), 2, keys.shape[1], keys.shape[3])  # [V, 2, H, d]
        first = states.permute(1, 2, 0, 3).unsqueeze(1).expand(-1, len(keys), -1, -1, -1)
        return torch.cat([first[0].to(keys.dtype), keys], dim=2), torch.cat([first[1].to(values.dtype), values], dim=2)


class _ShiftedRotary(nn.Module):
    """Rotary positions behind a prefix."""

    def __init__(self, rotary: nn.Module, by: int) -> None:
        super().__init__()
        self.rotary, self.by = rotary, by

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> Any:
        return self.rotary(x, position_ids + self.by)


def _see_prefix(
    attention: Any, args: tuple[Any, ...], inputs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Before an attention: its mask gets a column for each position of the prefix, its cache the keys and values.

    Raises TypeError for packed sequences (`genrec.search.packed`): each would need a prefix of its own.
    """
    if inputs.get("sequences") is not None:
        raise TypeError("a prefix cannot be put before packed sequences; give every sequence a row of its own")
    prefix, hidden = attention.prefix(), args[0] if args else inputs["hidden_states"]
    mask = _widened(inputs.get("attention_mask"), len(prefix), hidden)
    cache = _PrefixedCache(prefix, inputs.get("past_key_values"))
    return args, {**inputs, "attention_mask": mask, "past_key_values": cache}


def _widened(mask: torch.Tensor | None, by: int, hidden: torch.Tensor) -> torch.Tensor:
    """A mask bool or float [B, 1, T, S] with `by` columns more on the left that every position sees; None: causal.

    Raises TypeError for a mask that is no tensor.
    """
    if mask is None:
        width = hidden.shape[1]
        mask = torch.ones(1, 1, width, width, dtype=torch.bool, device=hidden.device).tril()
    elif not isinstance(mask, torch.Tensor):
        raise TypeError(f"a prefix cannot be put before an attention mask of type {type(mask).__name__}")
    return functional.pad(mask, (by, 0), value=True if mask.dtype == torch.bool else 0.0)


def attach(
    model: Any, vocab: SidVocabulary, *, positions: int, projection: int | None, seed: int, trainable_rows: bool = True
) -> Any:
    """Put a prefix of `positions` before every layer of a frozen model; returns the PEFT model that trains the semantic-id
    rows (with `trainable_rows`; see `genrec.model.adapter.attach`) beside it.

    A fresh prefix holds what the model itself computes for that many common tokens, so that it starts as a prompt of
    words would: random keys and values would disturb a trained model, zeros take attention from all else (Li & Liang,
    section 7.4). With `projection`, the width of a network that gives keys and values, it starts at random.
    """
    first, body = _states_of_words(model, vocab, positions, seed), model.base_model
    peft_model = _with_rows(model, vocab, trainable_rows)
    with seeded(seed):
        trunk, size = None, first[0].shape[1]
        if projection:
            device = first[0].device
            trunk = nn.Sequential(nn.Embedding(positions, size // 2), nn.Linear(size // 2, projection), nn.Tanh()).to(
                device
            )
            parts: list[nn.Module] = [ProjectedPrefix(trunk, positions, projection, size).to(device) for _ in first]
        else:
            parts = [Prefix(states.float()) for states in first]
    _put_in(body, parts, positions, trunk)
    return peft_model


def _with_rows(model: Any, vocab: SidVocabulary, trainable: bool) -> Any:
    from peft import TrainableTokensConfig, get_peft_model

    from genrec.model.trained_rows import read_in_place

    heads = [] if model.config.tie_word_embeddings else ["lm_head"]
    config = TrainableTokensConfig(
        token_indices=list(range(vocab.first_token_id, vocab.end_token_id)),
        target_modules=["embed_tokens", *heads],
        task_type="CAUSAL_LM",
    )
    with adapter.tied_rows():
        peft_model = get_peft_model(model, config)
    if not trainable:
        peft_model.requires_grad_(False)
    return read_in_place(peft_model)


def _put_in(body: Any, parts: list[nn.Module], positions: int, trunk: nn.Module | None = None) -> None:
    """Give every attention its part, and the rotary positions their shift."""
    if trunk is not None:
        body.prefix_trunk = trunk
    for layer, part in zip(body.layers, parts, strict=True):
        layer.self_attn.prefix = part
        layer.self_attn.register_forward_pre_hook(_see_prefix, with_kwargs=True)
    body.rotary_emb = _ShiftedRotary(body.rotary_emb, positions)


@torch.no_grad()
def _states_of_words(model: Any, vocab: SidVocabulary, positions: int, seed: int) -> list[torch.Tensor]:
    """By layer, the keys and values [V, 2 * H * d] of V different common tokens, drawn by `seed`, at the first positions."""
    common = min(_COMMON, vocab.first_token_id)
    generator = torch.Generator().manual_seed(seed)
    words = torch.cat([torch.randperm(common, generator=generator) for _ in range(-(-positions // common))])[:positions]
    device: torch.device = next(model.parameters()).device
    cache: Any = DynamicCache()
    was_training = model.training
    model.eval()
    model.base_model(input_ids=words[None].to(device), past_key_values=cache, use_cache=True)
    model.train(was_training)
    return [
        torch.stack([layer.keys[0], layer.values[0]]).permute(2, 0, 1, 3).flatten(1).clone() for layer in cache.layers
    ]


def parts_of(model: Any) -> list[Callable[[], torch.Tensor]]:
    """The prefixes of a model's layers; none where it has no prefix."""
    return [part for layer in model.base_model.layers if (part := getattr(layer.self_attn, "prefix", None)) is not None]


@torch.no_grad()
def save(folder: Path, model: Any) -> None:
    """Write the prefix of a causal model as an adapter of PEFT's format, keys and values themselves: a projection is part of
    training alone.
    """
    from peft import PrefixTuningConfig

    states = [part().float().cpu() for part in parts_of(model)]
    heads = model.config.num_key_value_heads
    config = PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=len(states[0]),
        num_layers=len(states),
        num_attention_heads=heads,
        token_dim=states[0].shape[1] // 2,
        num_transformer_submodules=1,
        inference_mode=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    save_file({_TENSOR: torch.cat(states, dim=1)}, folder / _WEIGHTS, metadata={"format": "pt"})


def load(folder: Path, model: Any, dtype: torch.dtype, trainable: bool) -> None:
    """Give a causal model the prefix that `save` wrote. Raises DataError where it is missing or another model's."""
    try:
        saved = load_file(folder / _WEIGHTS)[_TENSOR]
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (FileNotFoundError, KeyError) as error:
        raise DataError(f"{folder}: holds no prefix ({error}); recompute the stage") from error
    body, settings = model.base_model, model.config
    dim = body.layers[0].self_attn.head_dim
    expected = (len(body.layers), settings.num_key_value_heads, settings.num_key_value_heads * dim)
    found = (config["num_layers"], config["num_attention_heads"], config["token_dim"])
    if found != expected or saved.shape != (config["num_virtual_tokens"], 2 * found[0] * found[2]):
        raise DataError(
            f"{folder}: a prefix for (layers, key-value heads, their width together) {found}, but the base has {expected}; "
            "load it on the base it was trained on"
        )
    states = saved.to(next(model.parameters()).device, torch.float32 if trainable else dtype)
    parts: list[nn.Module] = [Prefix(part.contiguous()) for part in states.chunk(len(body.layers), dim=1)]
    for part in parts:
        part.requires_grad_(trainable)
    _put_in(body, parts, len(states))
