"""A random catalogue, a Qwen2 of a few thousand weights, and plain unbatched scoring to compare against."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from genrec.model import adapter, folder, prefix_tuning
from genrec.model.policy import Policy
from genrec.model.vocab import SidVocabulary

NUM_CODES = 6
MAX_HISTORY = 5
ADAPTERS = ["full", "lora", "ptuning_v2"]  # those that any base takes
VOCAB = SidVocabulary(3, NUM_CODES, first_token_id=5, bos_token_id=0, pad_token_id=1)


def random_sids(num_items: int, seed: int, num_codes: int = NUM_CODES, num_levels: int = 3) -> np.ndarray:
    flat = np.random.default_rng(seed).permutation(num_codes**num_levels)[:num_items]
    return np.stack(np.unravel_index(flat, (num_codes,) * num_levels), axis=1).astype(np.int32)


def random_histories(lengths: list[int], num_items: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, num_items, length) for length in lengths]


def put_on(mode: str, model: Any, vocab: SidVocabulary, seed: int) -> Any:
    """A model with a fresh adapter of the kind `mode`, with "full" none; "ptuning_v2 projected" has a projection."""
    if mode == "full":
        return model
    if mode.startswith("ptuning_v2"):
        projection = 7 if mode.endswith("projected") else None
        return prefix_tuning.attach(model, vocab, positions=3, projection=projection, seed=seed)
    return adapter.attach(model, vocab, rank=4, alpha=8, dropout=0.0, seed=seed)


def tiny_policy(seed: int = 0, tied: bool = True, vocab: SidVocabulary = VOCAB, mode: str = "full") -> Policy:
    """Random weights wide enough apart that scores differ, with a trained-looking adapter of the kind `mode` on top."""
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocab.end_token_id + 3,  # rows behind the semantic-id tokens, as resized models have
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    model = put_on(mode, Qwen2ForCausalLM(config), vocab, seed).eval()
    if mode != "full":
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.2 * torch.randn_like(parameter))
    meta = {"kind": "base", "adapter": mode, "vocabulary": vars(vocab), "max_history": MAX_HISTORY}
    return Policy(model, vocab, MAX_HISTORY, meta, Path())


def attach(base: Path, mode: str = "lora") -> Policy:
    """A fresh adapter on the base model in a folder."""
    model = folder.load_causal_model(base, torch.device("cpu"), torch.float32, quantize=mode == "qlora")
    model = put_on(mode, model, VOCAB, seed=1).eval()
    meta = {**folder.read_meta(base), "adapter": mode.split()[0]}
    return Policy(model, VOCAB, MAX_HISTORY, meta, base)


def perturb(policy: Policy) -> None:
    """Move every trainable weight a little."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in policy.trainable_parameters().values():
            parameter.add_(0.1 * torch.randn_like(parameter))


def sequence_logits(
    policy: Policy, codes: torch.Tensor, targets: torch.Tensor | None = None, items: torch.Tensor | None = None
) -> torch.Tensor:
    """Logits of every level of every item of whole histories in one pass: [B, M, L, K], or [T, L, K] of `targets`."""
    hidden = policy.sequence_hidden(codes, items)
    return policy.level_logits(hidden if targets is None else hidden[targets])


def plain_log_probs(policy: Policy, history: np.ndarray, sids: np.ndarray) -> torch.Tensor:
    """log p of every code of every item, [N, L]: one unpadded row an item through the stock forward with its full head."""
    vocab = policy.vocab
    prompt = [vocab.bos_token_id, *vocab.token_ids(sids[history[-policy.max_history :]]).reshape(-1).tolist()]
    rows = torch.tensor([prompt + row for row in vocab.token_ids(sids).tolist()])
    logits = policy.model(input_ids=rows).logits[:, len(prompt) - 1 : -1]
    columns = []
    for level in range(vocab.num_levels):
        first = vocab.first_token_id + level * vocab.num_codes
        level_log_probs = logits[:, level, first : first + vocab.num_codes].log_softmax(-1)
        columns.append(level_log_probs.gather(1, torch.from_numpy(sids[:, level : level + 1]).long())[:, 0])
    return torch.stack(columns, dim=1)


def plain_beam(log_probs: np.ndarray, sids: np.ndarray, width: int) -> list[int]:
    """Beam search over explicit prefixes: the items found, best first."""
    kept = {()}
    scores: dict[tuple, float] = {}
    for level in range(sids.shape[1]):
        scores = {
            tuple(sid[: level + 1]): float(log_probs[item, : level + 1].sum())
            for item, sid in enumerate(sids.tolist())
            if tuple(sid[:level]) in kept
        }
        kept = set(sorted(scores, key=scores.__getitem__, reverse=True)[:width])
    index = {tuple(sid): item for item, sid in enumerate(sids.tolist())}
    return [index[p] for p in sorted(kept, key=scores.__getitem__, reverse=True)]
