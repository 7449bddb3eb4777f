"""Is it right with learned keys and values before every layer (P-Tuning v2), whose masks and caches are a GPU's own."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.model import prefix_tuning
from genrec.model.policy import Policy
from genrec.search.decode import beam_search
from genrec.search.graphs import SearchGraphs
from genrec.search.trie import Trie
from tests.bench.gpu_check.correctness import (
    CPU,
    NUM_PROMPTS,
    SHAPE,
    SPREAD,
    WIDTH,
    error_of,
    flat_gradients,
    verdict_of,
)
from tests.bench.gpu_check.models import NUM_CODES, random_catalogue, random_model, random_prompts, vocabulary

_POSITIONS = 9  # not a multiple of what kernels like


def prefixed(device: torch.device) -> dict[str, Any]:
    """Scores, gradients and lists on the device beside the CPU, in float32 and bfloat16; a recorded search beside a plain one."""
    vocab = vocabulary(SHAPE)
    model = random_model(SHAPE, CPU, torch.float32, SPREAD)
    model = prefix_tuning.attach(model, vocab, positions=_POSITIONS, projection=None, seed=0).eval()
    meta = {"kind": "base", "adapter": "ptuning_v2", "vocabulary": vars(vocab), "max_history": SHAPE.history}
    wanted = _numbers(Policy(model, vocab, SHAPE.history, meta, Path()))
    errors, same = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        policy = Policy(copy.deepcopy(model).to(device), vocab, SHAPE.history, meta, Path())
        for parameter in policy.model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(dtype)
        policy.forward_dtype = policy.search_dtype = dtype
        found = _numbers(policy)
        errors[dtype] = max(error_of(a, b) for a, b in zip(found[:2], wanted[:2], strict=True))
        same[dtype] = float((found[2] == wanted[2]).float().mean())
    exact = _is_the_same_recorded(policy)
    verdict = verdict_of(errors[torch.float32], torch.float32, bf16=errors[torch.bfloat16], recorded=exact)
    passed = verdict_of(errors[torch.bfloat16], torch.bfloat16)["passed"] and same[torch.float32] > 0.99 and exact
    return {**verdict, "passed": verdict["passed"] and passed, "same_items": same[torch.bfloat16]}


def _numbers(policy: Policy) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities of candidates behind prompts of unequal length, their gradients, and lists."""
    sids, prompts = random_catalogue(SHAPE), random_prompts(SHAPE, NUM_PROMPTS)
    histories = [h[i % SHAPE.history :] for i, h in enumerate(prompts.histories)]
    candidates = torch.from_numpy(sids[np.random.default_rng(0).integers(0, len(sids), (NUM_PROMPTS, 16))]).long()
    batch = policy.prompts(histories, sids)
    scores = policy.candidate_log_probs(batch, candidates.to(policy.device))
    codes = torch.from_numpy(sids[:35]).long().view(5, 7, 3).to(policy.device)
    (scores.mean() + policy.sequence_hidden(codes).float().square().mean()).backward()
    gradients = flat_gradients(policy)
    found = beam_search(policy, batch, Trie.from_sids(sids, NUM_CODES, policy.device), WIDTH)
    return scores.detach(), gradients, found.items.cpu()


def _is_the_same_recorded(policy: Policy) -> bool:
    sids = random_catalogue(SHAPE)
    trie = Trie.from_sids(sids, NUM_CODES, policy.device)
    record = None if policy.device.type == "cuda" else lambda search, _: search
    graphs = SearchGraphs(policy, trie, WIDTH, policy.trainable_parameters().values, record=record)
    for seed in range(3):
        prompts = policy.prompts(random_prompts(SHAPE, NUM_PROMPTS, seed).histories, sids)
        found, plain = graphs(prompts, None), beam_search(policy, prompts, trie, WIDTH)
        if not all(torch.equal(a, b) for a, b in zip(found, plain, strict=True)):
            return False
    return graphs.num_recorded == 1
