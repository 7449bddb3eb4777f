"""Constrained beam search: ours beside transformers' generate, in one process, on the same model and prompts.

    python -m tests.bench.bench_decode [--users 256] [--items 4344] [--repeats 5] [--threads 1]

`generate` uses the prefix function a user would write (a dictionary of allowed tokens by prefix) with beam search over
the full vocabulary; `processor` is generate with a logits processor that looks every beam's prefix up by its text and
masks row by row, the usual way in this field. All sides get the same length-sorted batches; repeats alternate, medians are compared. Scores
differ by construction (generate normalises over the whole vocabulary), so the agreement of the lists is checked with
the head cut to the semantic-id rows of a level by a logits processor.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PrefixConstrainedLogitsProcessor,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from genrec.lm.policy import Policy, PromptBatch
from genrec.lm.trie import Trie
from genrec.lm.vocab import SidVocabulary

NUM_LEVELS, NUM_CODES, WIDTH = 3, 256, 20
TEXT_VOCABULARY = 2000
MAX_HISTORY = 20


def build(num_items: int, hidden_size: int, num_layers: int, seed: int = 0) -> tuple[Policy, np.ndarray]:
    """A random model of the default scratch shape and random unique ids (uneven level-1 codes, as k-means gives)."""
    from pathlib import Path

    torch.manual_seed(seed)
    vocab = SidVocabulary(NUM_LEVELS, NUM_CODES, TEXT_VOCABULARY, bos_token_id=0, pad_token_id=0)
    config = Qwen2Config(
        vocab_size=vocab.end_token_id,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = Qwen2ForCausalLM(config).eval()
    rng = np.random.default_rng(seed)
    first = rng.zipf(1.3, 8 * num_items) % NUM_CODES
    rest = rng.integers(0, 48, (8 * num_items, NUM_LEVELS - 1))
    sids = np.unique(np.column_stack([first, rest]), axis=0)
    if len(sids) < num_items:
        sys.exit(f"only {len(sids)} distinct ids drawn; ask for fewer items")
    sids = rng.permutation(sids)[:num_items].astype(np.int32)
    meta = {"kind": "base", "adapter": "full", "vocabulary": vars(vocab), "max_history": MAX_HISTORY}
    return Policy(model, vocab, MAX_HISTORY, meta, Path()), sids


class LevelNormaliser(LogitsProcessor):
    """Cut the scores to one level's tokens before generate normalises them again, as ours does."""

    def __init__(self, vocab: SidVocabulary, prompt_width: int) -> None:
        self.vocab, self.prompt_width = vocab, prompt_width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        level = input_ids.shape[1] - self.prompt_width
        first = self.vocab.first_token_id + level * self.vocab.num_codes
        cut = torch.full_like(scores, -torch.inf)
        cut[:, first : first + self.vocab.num_codes] = scores[:, first : first + self.vocab.num_codes].log_softmax(-1)
        return cut


class PerBeamProcessor(LogitsProcessor):
    """Prefixes as text keys of a dictionary, one beam after the other."""

    def __init__(self, follow: dict[tuple, set], prompt_width: int) -> None:
        self.allowed = {"-".join(map(str, prefix)): sorted(codes) for prefix, codes in follow.items()}
        self.prompt_width = prompt_width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        scores = scores.log_softmax(-1)
        mask = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids[:, self.prompt_width :].tolist()):
            mask[row, self.allowed["-".join(map(str, ids))]] = 0
        return scores + mask


def generate_items(policy: Policy, prompts: PromptBatch, sids: np.ndarray, way: str = "generate") -> list:
    """Lists by `generate` (prefix function), `processor` or `level` (normalised as ours), as items."""
    tokens = policy.vocab.token_ids(sids).tolist()
    index = {tuple(row): item for item, row in enumerate(tokens)}
    follow: dict[tuple, set] = {}
    for row in tokens:
        for level in range(NUM_LEVELS):
            follow.setdefault(tuple(row[:level]), set()).add(row[level])
    allowed = {prefix: sorted(codes) for prefix, codes in follow.items()}
    width = prompts.input_ids.shape[1]

    def follows(_: int, ids: torch.Tensor) -> list[int]:
        return allowed[tuple(ids[width:].tolist())]

    processors = LogitsProcessorList()
    if way == "processor":
        processors.append(PerBeamProcessor(follow, width))
    if way == "level":  # normalise first, constrain after: generate itself would run a prefix function before
        processors += [LevelNormaliser(policy.vocab, width), PrefixConstrainedLogitsProcessor(follows, WIDTH)]
    with torch.no_grad():
        rows = policy.model.generate(
            input_ids=prompts.input_ids,
            attention_mask=prompts.attention_mask,
            num_beams=WIDTH,
            num_return_sequences=WIDTH,
            min_new_tokens=NUM_LEVELS,
            max_new_tokens=NUM_LEVELS,
            do_sample=False,
            length_penalty=0.0,
            logits_processor=processors,
            prefix_allowed_tokens_fn=follows if way == "generate" else None,
        )
    found = [index[tuple(row)] for row in rows[:, width:].tolist()]
    return [found[i : i + WIDTH] for i in range(0, len(found), WIDTH)]


def limit_users_per_s(policy: Policy, prompt_tokens: float) -> tuple[float, float]:
    """Arithmetic of the limit: MFLOP a user, and users/s at the matrix-product rate measured here and now."""
    config = policy.model.config
    body = sum(p.numel() for n, p in policy.model.named_parameters() if "embed_tokens" not in n)
    tokens = prompt_tokens + (NUM_LEVELS - 1) * WIDTH
    attention = 4 * config.num_hidden_layers * config.hidden_size * tokens * (prompt_tokens + WIDTH)
    head = 2 * config.hidden_size * NUM_CODES * (1 + (NUM_LEVELS - 1) * WIDTH)
    flop = 2 * body * tokens + attention / 2 + head
    a, b = torch.randn(4096, config.hidden_size), torch.randn(config.hidden_size, 2 * config.hidden_size)
    rates = []
    for _ in range(20):
        start = time.perf_counter()
        a @ b
        rates.append(2 * a.numel() * b.shape[1] / (time.perf_counter() - start))
    return flop / 1e6, statistics.median(rates) / flop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=256, help="users decoded by ours in a repeat")
    parser.add_argument("--generate-users", type=int, default=64, help="users decoded by generate in a repeat")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--generate-batch-size", type=int, default=32)
    parser.add_argument("--items", type=int, default=4344)
    parser.add_argument("--history", type=int, default=11, help="items in every history")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    policy, sids = build(args.items, args.hidden_size, args.num_layers)
    trie = Trie.from_sids(sids, NUM_CODES, policy.device)
    rng = np.random.default_rng(1)
    histories = [rng.integers(0, args.items, args.history) for _ in range(args.users)]

    def ours() -> int:
        for start in range(0, args.users, args.batch_size):
            policy.beam_search(policy.prompts(histories[start : start + args.batch_size], sids), trie, WIDTH)
        return args.users

    def theirs(way: str) -> int:
        for start in range(0, args.generate_users, args.generate_batch_size):
            prompts = policy.prompts(histories[start : start + args.generate_batch_size], sids)
            generate_items(policy, prompts, sids, way)
        return args.generate_users

    check = policy.prompts(histories[:8], sids)
    same = generate_items(policy, check, sids, "level") == policy.beam_search(check, trie, WIDTH).items.tolist()
    sides = {"ours": ours, "generate": lambda: theirs("generate"), "processor": lambda: theirs("processor")}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.repeats):
        for name, run in sides.items():
            rates[name].append(timed(run))
    megaflop, limit = limit_users_per_s(policy, 1 + NUM_LEVELS * args.history)
    median = {name: statistics.median(values) for name, values in rates.items()}
    report = {
        "users_per_s": {name: round(value, 1) for name, value in median.items()},
        "range": {name: [round(min(v), 1), round(max(v), 1)] for name, v in rates.items()},
        "ratio": {name: round(median["ours"] / median[name], 1) for name in ("generate", "processor")},
        "limit": {"mflop_a_user": round(megaflop, 1), "users_per_s": round(limit, 1)},
        "share_of_limit": round(median["ours"] / limit, 3),
        "same_lists_as_generate": same,
        "settings": {**vars(args), "prompt_tokens": 1 + NUM_LEVELS * args.history, "beam_width": WIDTH},
    }
    print(json.dumps(report, indent=2))


def timed(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    users = run()
    return users / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
