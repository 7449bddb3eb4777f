"""Hidden states of a language model, pooled over the tokens of a text.

Works with encoders (BERT, E5, BGE, the encoder of T5) and decoders (Qwen2.5, Llama) from the hub or a folder. Texts
are sorted by length and cut into batches of a bounded number of padded tokens, so hardly any padding is computed.
Padding is always on the right: a causal model never attends to it, and absolute positions stay those of the text.
Tokenization goes on in a thread while the model computes (the tokenizers' Rust code holds no lock of Python meanwhile).
"""

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from genrec.errors import ConfigError
from genrec.progress import Progress, silent
from genrec.variants import setting

SHARDABLE = True  # a vector depends on its own text alone
_CHUNK_TEXTS = 2048  # tokenized at a time
_CHUNKS_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the transformer encoder."""

    model: str = setting("Qwen/Qwen2.5-3B", "Hub id or local folder of a model with safetensors weights.", is_path=True)
    revision: str | None = setting(None, "Commit or tag of a hub model: fixes the version of the cached vectors.")
    pooling: Literal["mean", "last"] = setting(
        "mean", "mean of the last hidden states over all tokens, or the state of the last token."
    )
    max_tokens: int = setting(512, "Tokens of a text that are read; the rest is cut off.", ge=1, le=131_072)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto", "Number format of the weights and of the computation; auto takes the checkpoint's."
    )
    normalize: bool = setting(True, "Scale vectors to unit length.")


def encode(
    texts: list[str],
    options: Config,
    *,
    batch_tokens: int,
    device: str | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Vectors of texts, each independent of the others in its batch (up to rounding).

    Args:
        texts: any strings; an empty one is encoded as a single end-of-text token.
        options: settings.
        batch_tokens: padded tokens in one forward, at most; a longer text goes alone.
        device: torch device; None takes the GPU where there is one.
        progress: reports after every batch, in texts.

    Returns:
        float32 [len(texts), hidden_size].

    Raises:
        ConfigError: the model cannot be loaded, or it gives numbers that are not finite.
    """
    return Encoder(options, device).encode(texts, batch_tokens=batch_tokens, progress=progress)


class Encoder:
    """A loaded model, for one list of texts after the other. Raises ConfigError as `encode` does."""

    def __init__(self, options: Config, device: str | None = None) -> None:
        self.options, self.device = options, device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.tokenizer = load(options)
        self.model.to(self.device)

    def encode(self, texts: list[str], *, batch_tokens: int, progress: Progress = silent) -> np.ndarray:
        """What `encode` returns; the figures and the throughput are logged."""
        started, num_tokens = time.perf_counter(), 0

        def counted() -> Iterator[tuple[np.ndarray, list[list[int]]]]:
            nonlocal num_tokens
            for rows, token_ids in token_batches(texts, self.tokenizer, self.options.max_tokens, batch_tokens):
                num_tokens += sum(map(len, token_ids))
                yield rows, token_ids

        def per_second() -> float:
            return num_tokens / max(time.perf_counter() - started, 1e-9)

        def shown(done: float, total: float, note: str = "", /, **values: float) -> None:
            progress(done, total, note, tokens_per_s=per_second(), **values)

        vectors = _encode(self.model, counted(), len(texts), self.options, self.device, shown)
        if not np.isfinite(vectors).all():
            bad = int((~np.isfinite(vectors).all(axis=1)).sum())
            raise ConfigError(
                f"embed.options: {self.options.model} gave vectors that are not finite for {bad} of {len(texts)} texts "
                f"with dtype {self.options.dtype}; use dtype bfloat16 or float32"
            )
        logging.getLogger(__name__).info(
            "encoded %d texts of %d tokens, %.0f tokens/s", len(texts), num_tokens, per_second()
        )
        return vectors


def token_batches(
    texts: list[str], tokenizer: Any, max_tokens: int, batch_tokens: int
) -> Iterator[tuple[np.ndarray, list[list[int]]]]:
    """Batches as of `length_batches`, with the tokens of their rows, while a thread tokenizes what comes next.

    Texts are tokenized longest first (in characters), a chunk at a time; the rows of a chunk that do not fill a batch go
    into the first batch of the next one.
    """
    order = np.argsort([-len(text) for text in texts], kind="stable")
    chunks = [order[start : start + _CHUNK_TEXTS] for start in range(0, len(order), _CHUNK_TEXTS)]
    rows, token_ids = np.empty(0, dtype=np.int64), list[list[int]]()

    def tokenized(chunk: np.ndarray) -> list[list[int]]:
        return tokenize([texts[i] for i in chunk], tokenizer, max_tokens)

    with ThreadPoolExecutor(1, "tokenize") as pool:
        ahead = deque(pool.submit(tokenized, chunk) for chunk in chunks[:_CHUNKS_AHEAD])
        for number, chunk in enumerate(chunks):
            token_ids += ahead.popleft().result()
            ahead.extend(pool.submit(tokenized, next_one) for next_one in chunks[number + _CHUNKS_AHEAD :][:1])
            rows = np.concatenate([rows, chunk])
            batches = length_batches(np.array([len(ids) for ids in token_ids], dtype=np.int64), batch_tokens)
            left = batches.pop() if number + 1 < len(chunks) else rows[:0]
            for batch in batches:
                yield rows[batch], [token_ids[i] for i in batch]
            rows, token_ids = rows[left], [token_ids[i] for i in left]


def encode_tokens(
    model: Any, token_ids: list[list[int]], options: Config, *, batch_tokens: int, device: str, progress: Progress
) -> np.ndarray:
    """float32 [texts, hidden_size] of tokenized texts, none empty, by a model on `device`."""
    batches = length_batches(np.array([len(ids) for ids in token_ids], dtype=np.int64), batch_tokens)
    with_tokens = ((rows, [token_ids[i] for i in rows]) for rows in batches)
    return _encode(model, with_tokens, len(token_ids), options, device, progress)


def _encode(
    model: Any,
    batches: Iterator[tuple[np.ndarray, list[list[int]]]],
    num_texts: int,
    options: Config,
    device: str,
    progress: Progress,
) -> np.ndarray:
    """float32 [num_texts, hidden_size] of batches of (rows, their tokens), which have every row once."""
    vectors = np.empty((num_texts, model.config.get_text_config().hidden_size), dtype=np.float32)
    done = 0
    pending: tuple[np.ndarray, torch.Tensor] | None = None
    for rows, token_ids in batches:
        pooled = _forward(model, token_ids, options, device)
        # The copy to the host waits for the GPU; one batch late, it overlaps with the next forward.
        done = _collect(pending, vectors, done, progress)
        pending = (rows, pooled)
    _collect(pending, vectors, done, progress)
    return vectors


def load(options: Config) -> tuple[Any, Any]:
    """The model without its output head, in evaluation mode, and its tokenizer. Safetensors only, no remote code.

    Raises:
        ConfigError: not found, not reachable, no safetensors, no tokenizer, or code of its own.
    """
    from transformers import AutoModel, AutoTokenizer

    common: dict[str, Any] = {"revision": options.revision, "trust_remote_code": False}
    model_arguments = {"dtype": options.dtype, "use_safetensors": True}
    if Path(options.model).is_dir():
        attempts: list[bool] = [True]
    else:
        attempts = [True, False]  # the local cache first: no network calls for what is cached
    for local_only in attempts:
        try:
            tokenizer = AutoTokenizer.from_pretrained(options.model, local_files_only=local_only, **common)
            model = AutoModel.from_pretrained(options.model, local_files_only=local_only, **common, **model_arguments)
            break
        except (OSError, ValueError, ImportError) as error:
            if local_only is attempts[-1]:
                raise ConfigError(_not_loadable(options.model, error)) from error
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    return model.eval(), tokenizer


def _not_loadable(model: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    if Path(model).is_dir():
        present = sorted(p.name for p in Path(model).iterdir())[:20]
        fix = f"the folder holds {present}; it needs config.json, tokenizer files and *.safetensors"
    else:
        fix = "download it where the network is and give the folder's path, or set `embed.method: lsa`"
    return f"embed.options.model: {model!r} cannot be loaded ({reason}); {fix}"


def tokenize(texts: list[str], tokenizer: Any, max_tokens: int) -> list[list[int]]:
    """Token ids with the model's own special tokens, cut on the right to `max_tokens`; never empty.

    A text that spells a special token has the letters of it, not the token.
    """
    if not texts:
        return []
    tokenizer.truncation_side = "right"
    options: dict[str, Any] = {"truncation": True, "max_length": max_tokens, "padding": False}
    token_ids = tokenizer(texts, split_special_tokens=True, **options)["input_ids"]
    stand_in = next((i for i in (tokenizer.eos_token_id, tokenizer.pad_token_id) if i is not None), 0)
    return [list(ids) or [stand_in] for ids in token_ids]


def length_batches(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Row numbers in batches of similar length, longest first (so that running out of memory shows at once).

    Args:
        lengths: int64 [n], tokens of each text.
        batch_tokens: bound of rows x longest row in a batch; a single row may exceed it.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, batch_tokens // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


@torch.inference_mode()
def _forward(model: Any, token_ids: list[list[int]], options: Config, device: str) -> torch.Tensor:
    """float32 [rows, hidden_size] on the device."""
    lengths = torch.tensor([len(ids) for ids in token_ids])
    padded = np.zeros((len(token_ids), int(lengths.max())), dtype=np.int64)  # any id serves: padding is masked
    for row, ids in zip(padded, token_ids, strict=True):
        row[: len(ids)] = ids
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    input_ids = torch.from_numpy(padded).to(device, non_blocking=True)
    mask = mask.to(device, non_blocking=True)
    # A decoder would otherwise keep the keys and values of every batch; encoders know no such argument.
    extra = {"use_cache": False} if getattr(model.config, "use_cache", None) is not None else {}
    hidden = model(input_ids=input_ids, attention_mask=mask.long(), **extra).last_hidden_state
    if options.pooling == "last":
        pooled = hidden[torch.arange(len(lengths), device=device), (lengths - 1).to(device)].float()
    else:
        weights = mask[..., None].float()
        pooled = (hidden.float() * weights).sum(1) / weights.sum(1)
    return torch.nn.functional.normalize(pooled, dim=-1) if options.normalize else pooled


def _collect(
    pending: tuple[np.ndarray, torch.Tensor] | None, vectors: np.ndarray, done: int, progress: Progress
) -> int:
    if pending is None:
        return done
    rows, pooled = pending
    vectors[rows] = pooled.cpu().numpy()
    done += len(rows)
    progress(done, len(vectors), "encoding")
    return done
