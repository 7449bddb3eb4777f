"""Constrained beam search: ours beside transformers' generate, in one process, on the same model and prompts.

    python -m tests.bench.bench_decode [--items 4344] [--repeats 5] [--threads 1] [--bf16]

`generate` uses the prefix function a user would write (a dictionary of allowed tokens by prefix) with beam search over
the full vocabulary; `processor` is generate with a logits processor that looks every beam's prefix up by its text and
masks row by row, the usual way in this field. Each side first picks its best batch size from `--batch-sizes`; then
repeats alternate and medians are compared. `ours` has plain output rows of the codes, as the model behind `generate`;
`prefixes` is the same search by output vectors of prefixes. With one thread rates are users a second of CPU time, which a
busy machine disturbs less. Scores differ by construction (generate normalises over the whole vocabulary), so the
agreement of the lists is checked with the head cut to the semantic-id rows of a level by a logits processor.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PrefixConstrainedLogitsProcessor,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.model.vocab import SidVocabulary
from genrec.search.decode import beam_search
from genrec.search.layout import PromptBatch
from genrec.search.trie import Trie
from tests.bench.random_ids import random_ids

NUM_LEVELS, NUM_CODES, WIDTH = 3, 256, 20
TEXT_VOCABULARY = 2000
MAX_HISTORY = 20


def random_policy(hidden_size: int, num_layers: int, seed: int = 0) -> Policy:
    """A random model of the default scratch shape."""
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
    meta = {"kind": "base", "adapter": "full", "vocabulary": vars(vocab), "max_history": MAX_HISTORY}
    return Policy(Qwen2ForCausalLM(config).eval(), vocab, MAX_HISTORY, meta, Path())


def build(num_items: int, hidden_size: int, num_layers: int, seed: int = 0) -> tuple[Policy, np.ndarray]:
    """A random model and random unique ids (uneven level-1 codes, as k-means gives)."""
    return random_policy(hidden_size, num_layers, seed), random_ids(num_items, NUM_LEVELS, NUM_CODES, seed)


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


def limit_users_per_s(policy: Policy, prompt_tokens: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Arithmetic of the limit: MFLOP a user, and users/s at the matrix-product rate measured here and now.

    Counted is what a search has to multiply: of the last layer, a prompt needs keys and values of all its positions and
    the rest of one; queries, keys and values of the first layer depend on the token alone and are shared by a batch.
    """
    config, layer = policy.model.config, policy.body.layers[-1]
    weights = sum(p.numel() for p in layer.parameters() if p.ndim == 2)
    kept = layer.self_attn.k_proj.weight.numel() + layer.self_attn.v_proj.weight.numel()
    siblings = [WIDTH * level for level in range(1, NUM_LEVELS)]  # behind the prompt after each of the later steps
    rows = config.num_hidden_layers * (prompt_tokens + siblings[-1]) - prompt_tokens + 1
    products = weights * rows + kept * (prompt_tokens - 1)
    if config.num_hidden_layers > 1:
        products -= (kept + layer.self_attn.q_proj.weight.numel()) * (prompt_tokens + siblings[-1])
    seen = (config.num_hidden_layers - 1) * prompt_tokens**2 / 2 + prompt_tokens
    seen += config.num_hidden_layers * sum(WIDTH * (prompt_tokens + level + 1) for level in range(len(siblings)))
    head = config.hidden_size * NUM_CODES * (1 + siblings[-1])
    flop = 2 * (products + 2 * config.hidden_size * seen + head)
    dtype = policy.search_dtype
    a, b = (
        torch.randn(2048, config.hidden_size).to(dtype),
        torch.randn(config.hidden_size, 4 * config.hidden_size).to(dtype),
    )
    rates = []
    for _ in range(50):
        start = clock()
        a @ b
        rates.append(2 * a.numel() * b.shape[1] / (clock() - start))
    return flop / 1e6, statistics.median(rates) / flop


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median over repeats: a repeat's sides run one after the other and share what the machine is doing."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32, 64, 256])
    parser.add_argument("--users", type=int, default=256, help="users decoded by ours in a repeat")
    parser.add_argument("--generate-users", type=int, default=64, help="users decoded by generate in a repeat")
    parser.add_argument("--items", type=int, default=4344)
    parser.add_argument("--history", type=int, default=11, help="items in every history")
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="ours with evaluate.precision=bf16")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.threads == 1 else time.perf_counter

    policy, sids = build(args.items, args.hidden_size, args.num_layers)
    by_prefixes, _ = build(args.items, args.hidden_size, args.num_layers)
    text = np.random.default_rng(0).normal(size=(args.items, 128)).astype(np.float32)
    items = ItemVectors(sids, NUM_CODES, args.hidden_size, text, ids=True, nodes=True)
    by_prefixes.use_items(items, output={"name": "prefixes", "options": {}})
    trie = Trie.from_sids(sids, NUM_CODES, policy.device)
    rng = np.random.default_rng(1)
    histories = [rng.integers(0, args.items, args.history) for _ in range(args.users)]

    def decode(side: str, batch: list[np.ndarray]) -> None:
        searched = by_prefixes if side == "prefixes" else policy
        prompts = searched.prompts(batch, sids)
        if side in ("ours", "prefixes"):
            beam_search(searched, prompts, trie, WIDTH, scores=scores[side])
        else:
            generate_items(policy, prompts, sids, side)

    def rate(side: str, batch_size: int) -> float:
        users = num_users[side] - num_users[side] % batch_size
        start = clock()
        for first in range(0, users, batch_size):
            decode(side, histories[first : first + batch_size])
        return users / (clock() - start)

    check = policy.prompts(histories[:8], sids)
    same = generate_items(policy, check, sids, "level") == beam_search(policy, check, trie, WIDTH).items.tolist()
    policy.search_dtype = by_prefixes.search_dtype = torch.bfloat16 if args.bf16 else torch.float32
    with policy.inference():
        scores = {"ours": policy.step_scores(), "prefixes": by_prefixes.step_scores()}
    num_users = {
        "ours": args.users,
        "prefixes": args.users,
        "generate": args.generate_users,
        "processor": args.generate_users,
    }
    sizes = {side: [size for size in args.batch_sizes if size <= users] for side, users in num_users.items()}
    tried = {side: {size: max(rate(side, size) for _ in range(2)) for size in sizes[side]} for side in sizes}
    best = {side: max(rates, key=rates.__getitem__) for side, rates in tried.items()}
    rates: dict[str, list[float]] = {side: [] for side in sizes}
    for _ in range(args.repeats):
        for side in sizes:
            rates[side].append(rate(side, best[side]))
    megaflop, limit = limit_users_per_s(policy, 1 + NUM_LEVELS * args.history, clock)
    median = {side: statistics.median(values) for side, values in rates.items()}
    report = {
        "users_per_s": {side: round(value, 1) for side, value in median.items()},
        "range": {side: [round(min(v), 1), round(max(v), 1)] for side, v in rates.items()},
        "ratio": {side: round(ratio(rates["ours"], rates[side]), 1) for side in ("prefixes", "generate", "processor")},
        "batch_size": best,
        "tried": {side: {size: round(value, 1) for size, value in rates.items()} for side, rates in tried.items()},
        "limit": {"mflop_a_user": round(megaflop, 1), "users_per_s": round(limit, 1)},
        "share_of_limit": round(median["ours"] / limit, 3),
        "same_lists_as_generate": same,
        "settings": {**vars(args), "prompt_tokens": 1 + NUM_LEVELS * args.history, "beam_width": WIDTH},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
