"""Is it right: small models on the device beside the same models on the CPU, in float32 and in bfloat16.

Errors are |device - CPU| / |CPU| over all numbers of a tensor. A case passes below its bound.
"""

import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed as dist

from genrec.model import folder
from genrec.model.item_vectors import ItemVectors
from genrec.model.policy import Policy
from genrec.search.decode import beam_search
from genrec.search.trie import Trie
from genrec.sid.nearest import nearest
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import build_terms
from genrec.train.rl.rollout import LocalRollouts, RolloutWorker
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import Windows, make_windows
from tests.bench.gpu_check import settings
from tests.bench.gpu_check.models import NUM_CODES, Shape, random_catalogue, random_policy, random_prompts

SHAPE = Shape(300, 64, 128, 3, 4, 2, num_items=600, history=6)
CPU = torch.device("cpu")
SPREAD = 0.1  # weights wide enough apart that scores differ
FP32, BF16 = 1e-4, 3e-2  # bounds; a tf32 product is off by 3e-4 to 1e-3
NUM_PROMPTS, WIDTH = 32, 20
Report = Callable[[dict[str, Any]], None]


def run(shape: Shape, device: torch.device, report: Report) -> None:
    """All cases that compile nothing; they have a size of their own."""
    from tests.bench.gpu_check import gpu_ways, prefixed

    cases: dict[str, Callable[[torch.device], dict[str, Any]]] = {
        "forward, fp32": lambda device: _forward(device, torch.float32),
        "forward, bf16": lambda device: _forward(device, torch.bfloat16),
        "beam search, fp32": lambda device: _beam(device, torch.float32),
        "beam search, bf16": lambda device: _beam(device, torch.bfloat16),
        "search without waiting": _search_without_waiting,
        "fine-tuning step, fp32": lambda device: _sft(device, "fp32"),
        "fine-tuning step, bf16": lambda device: _sft(device, "bf16"),
        "GRPO step, fp32": lambda device: _grpo(device, "fp32"),
        "GRPO step, bf16": lambda device: _grpo(device, "bf16"),
        **gpu_ways.CASES,
        "P-Tuning v2": prefixed.prefixed,
        "NF4 weights (bitsandbytes)": _nf4,
        "neighbours (faiss)": _faiss,
        "divided steps (FSDP2, one process)": _divided,
    }
    _report(cases, device, report)


def run_compiled_search(shape: Shape, device: torch.device, report: Report) -> None:
    """Compiled layers; each such part compiles for a minute or two, so they are parts of their own, side by side."""
    from tests.bench.gpu_check import gpu_ways

    _report({"search": gpu_ways.compiled_search}, device, report)


def run_compiled_step(shape: Shape, device: torch.device, report: Report) -> None:
    _report({"fine-tuning step": _compiled_sft}, device, report)


def run_compiled_division(shape: Shape, device: torch.device, report: Report) -> None:
    _report({"divided steps": _compiled_divided}, device, report)


def _report(cases: dict[str, Callable[[torch.device], dict[str, Any]]], device: torch.device, report: Report) -> None:
    """One case after the other; one that raises is reported as failed, and the next goes on."""
    for name, case in cases.items():
        start = time.monotonic()
        try:
            found = case(device)
        except Exception as error:  # what one case finds must not hide what the others find
            found = {"passed": False, "failed": f"{type(error).__name__}: {error}"[:300]}
        report({"case": name, **found, "took_s": time.monotonic() - start})


def pair(device: torch.device, dtype: torch.dtype, lora: bool = True) -> tuple[Policy, Policy]:
    """A float32 policy on the CPU and the same on the device; there its frozen weights are of `dtype`."""
    on_cpu = random_policy(SHAPE, CPU, torch.float32, lora, SPREAD)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in on_cpu.trainable_parameters().items():
            if lora and "lora_B" in name:  # zero in a fresh adapter
                parameter.normal_(std=0.02)
    model = copy.deepcopy(on_cpu.model).to(device)
    if dtype == torch.bfloat16:
        for parameter in model.parameters():
            if not parameter.requires_grad or not lora:
                parameter.data = parameter.data.to(dtype)
    there = Policy(model, on_cpu.vocab, on_cpu.max_history, on_cpu._meta, Path())
    text = np.random.default_rng(2).normal(size=(SHAPE.num_items, 32)).astype(np.float32)
    items = ItemVectors(random_catalogue(SHAPE), NUM_CODES, SHAPE.hidden_size, text, ids=True, nodes=True)
    for policy, vectors in ((on_cpu, items), (there, copy.deepcopy(items))):
        policy.use_items(vectors, output={"name": "prefixes", "options": {}})
    if dtype == torch.bfloat16:
        there.forward_dtype = there.search_dtype = dtype
    return on_cpu, there


def error_of(found: torch.Tensor, wanted: torch.Tensor) -> float:
    found, wanted = found.detach().double().cpu(), wanted.detach().double().cpu()
    return float((found - wanted).norm() / wanted.norm().clamp_min(1e-30))


def verdict_of(error: float, dtype: torch.dtype, **more: Any) -> dict[str, Any]:
    bound = BF16 if dtype == torch.bfloat16 else FP32
    return {"passed": bool(error < bound), "error": error, "bound": bound, **more}


def _forward(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Logits of given candidates behind prompts of unequal length."""
    sids, prompts = random_catalogue(SHAPE).astype(np.int64), random_prompts(SHAPE, NUM_PROMPTS)
    histories = [h[i % SHAPE.history :] for i, h in enumerate(prompts.histories)]
    candidates = torch.from_numpy(sids[np.random.default_rng(0).integers(0, len(sids), (NUM_PROMPTS, 16))])
    with torch.no_grad():
        wanted, found = (
            p.candidate_logits(p.prompts(histories, sids), candidates.to(p.device))[0] for p in pair(device, dtype)
        )
    chosen_among = wanted.isfinite()
    return verdict_of(error_of(found.cpu()[chosen_among], wanted[chosen_among]), dtype)


def _beam(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Lists of 20: their scores, and the share of places with the same item."""
    sids, prompts = random_catalogue(SHAPE), random_prompts(SHAPE, NUM_PROMPTS)
    wanted, found = (
        beam_search(
            p, p.prompts(prompts.histories, sids), Trie.from_sids(sids, NUM_CODES, p.device), WIDTH, prompts.histories
        )
        for p in pair(device, dtype)
    )
    same = float((found.items.cpu() == wanted.items).float().mean())
    verdict = verdict_of(error_of(found.scores, wanted.scores), dtype, same_items=same)
    if dtype == torch.float32:
        verdict["passed"] = verdict["passed"] and same > 0.99
    return verdict


def _search_without_waiting(device: torch.device) -> dict[str, Any]:
    """From the prompts to the candidates the host reads nothing from the device."""
    if device.type != "cuda":
        return {"passed": None, "failed": "there is nothing to wait for on a CPU"}
    sids, prompts = random_catalogue(SHAPE), random_prompts(SHAPE, NUM_PROMPTS)
    policy = pair(device, torch.bfloat16)[1]
    trie = Trie.from_sids(sids, NUM_CODES, device)

    def search() -> None:
        beam_search(policy, policy.prompts(prompts.histories, sids), trie, WIDTH, prompts.histories)

    search()  # libraries may wait when they start
    torch.cuda.set_sync_debug_mode("error")
    try:
        search()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {"passed": True}


def _compiled_sft(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"passed": None, "failed": "compiles on a GPU alone"}
    return _sft(device, "bf16", compile_=True)


def uneven_windows() -> Windows:
    """Windows of 1 to `SHAPE.history` + 1 items."""
    lengths = np.arange(32) % (SHAPE.history + 1) + 1
    items = np.random.default_rng(0).integers(0, SHAPE.num_items, lengths.sum())
    return make_windows(items, np.concatenate([[0], np.cumsum(lengths)]), SHAPE.history)


def _divided(device: torch.device, compile_: bool = False) -> dict[str, Any]:
    """Adapter weights after steps under every division, in a group of one process, and a search with them, beside the same
    without.
    """
    sids, windows = random_catalogue(SHAPE), uneven_windows()

    prompts = random_prompts(SHAPE, NUM_PROMPTS)

    def trained(sharding: str) -> torch.Tensor:
        config = settings.sft(micro_batch_size=8, gradient_checkpointing=True, compile=compile_, sharding=sharding)
        trainer = Trainer(pair(device, torch.bfloat16)[1], windows, sids, config, 0)
        policy, scores = trainer.policy, []
        for _ in range(2):
            trainer.step(np.arange(len(windows)), 1e-3)
            if compile_:  # a search would take two compilations of its own
                continue
            with trainer.sharding.gathered():
                trie = Trie.from_sids(sids, NUM_CODES, device)
                scores = [beam_search(policy, policy.prompts(prompts.histories, sids), trie, WIDTH).scores.flatten()]
        return torch.cat([*(p.detach().flatten() for p in trainer.parameters.values()), *scores])

    wanted = trained("none")
    noise = error_of(trained("none"), wanted)  # a GPU adds up in another order every time, and Adam makes much of it
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        stages = ["weights"] if compile_ else ["optimizer", "gradients", "weights"]
        error = max(error_of(trained(stage), wanted) for stage in stages)
        return verdict_of(error, torch.float32 if device.type == "cpu" else torch.bfloat16, noise=noise)
    finally:
        dist.destroy_process_group()


def _compiled_divided(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"passed": None, "failed": "compiles on a GPU alone"}
    return _divided(device, compile_=True)


def _sft(device: torch.device, precision: str, compile_: bool = False) -> dict[str, Any]:
    """The gradients of a batch, without dropout; then a whole step, which raises where one is not finite."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    sids = random_catalogue(SHAPE)
    windows = uneven_windows()
    gradients = []
    for policy, used in zip(pair(device, dtype), ("fp32", precision), strict=True):
        trainer = Trainer(policy, windows, sids, settings.sft(precision=used, micro_batch_size=8, compile=compile_), 0)
        trainer.policy.model.eval()  # no dropout
        trainer.accumulate(np.arange(len(windows)))
        gradients.append(flat_gradients(policy))
        trainer.step(np.arange(len(windows)), 1e-4)
    return verdict_of(error_of(gradients[1], gradients[0]), dtype)


def _grpo(device: torch.device, precision: str) -> dict[str, Any]:
    """The gradients of an update on the same candidates, and the loss."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    sids, prompts = random_catalogue(SHAPE), random_prompts(SHAPE, NUM_PROMPTS)
    config = settings.rl(precision=precision)
    items: np.ndarray | None = None
    gradients, losses = [], []
    for policy in pair(device, dtype):
        learner = _learner(policy, sids, config)
        if items is None:
            items = _candidates(policy, sids, prompts, config)
        there, target = (torch.from_numpy(a).to(policy.device) for a in (items, prompts.target))
        losses.append(learner.update(0, prompts, form_groups(there, target, "repair"))["loss"])
        gradients.append(flat_gradients(policy))
    return verdict_of(error_of(gradients[1], gradients[0]), dtype, losses=losses)


def _learner(policy: Policy, sids: np.ndarray, config: Any) -> Learner:
    counts = torch.ones(len(sids), dtype=torch.long, device=policy.device)
    context = RewardContext(torch.from_numpy(sids.astype(np.int64)).to(policy.device), counts)
    return Learner(policy, config, build_terms(config.rewards), context)


def _candidates(policy: Policy, sids: np.ndarray, prompts: PromptSet, config: Any) -> np.ndarray:
    worker = RolloutWorker(policy, Trie.from_sids(sids, NUM_CODES, policy.device), sids, config, 0)
    return LocalRollouts(worker, LearnerGroup())(0, prompts, dict).items


def flat_gradients(policy: Policy) -> torch.Tensor:
    parameters = policy.trainable_parameters().values()
    return torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])


def _nf4(device: torch.device) -> dict[str, Any]:
    """A base loaded as NF4 on the device gives the logits of one loaded so on the CPU.

    Both round to 4 bits themselves, and a weight in the middle of two values may go either way: the difference is to be
    small beside what the rounding does.
    """
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        return {"passed": None, "failed": "bitsandbytes is not installed"}
    policy = random_policy(SHAPE, CPU, torch.float32, lora=False, spread=SPREAD)
    tokens = torch.arange(24).reshape(2, 12)
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        policy.causal_model.save_pretrained(name, safe_serialization=True)
        exact = policy.causal_model(tokens).logits
        wanted, found = (
            folder.load_causal_model(Path(name), there, torch.float32, quantize=True)(tokens.to(there)).logits
            for there in (CPU, device)
        )
    rounding, error = error_of(wanted, exact), error_of(found, wanted)
    return {"passed": error < rounding / 20, "error": error, "bound": rounding / 20, "rounding": rounding}


def _faiss(device: torch.device) -> dict[str, Any]:
    """Nearest neighbours by faiss, on the GPU where it sees one, are those of a plain product."""
    try:
        import faiss
    except ImportError as error:
        return {"passed": None, "failed": f"faiss is not installed ({error})"}
    vectors = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
    _, found = nearest(vectors, vectors, 10)
    wanted = np.argsort(-(vectors @ vectors.T), axis=1)[:, :10]
    same = float((found == wanted).mean())
    return {"passed": same > 0.99, "same_items": same, "on_gpu": faiss.get_num_gpus() > 0}
