"""How fast: beam search, fine-tuning, reinforcement learning and embedding on a model of the given shape, in bfloat16.

Each part reports one case after the other through `report`, so that what was measured before a time limit is not lost.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from genrec.embed.encoders import transformer
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers
from genrec.progress import silent
from genrec.search.decode import rank_users
from genrec.search.trie import Trie
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import build_terms
from genrec.train.rl.rollout import LocalRollouts, RolloutWorker
from genrec.train.sft.trainer import Trainer
from genrec.train.sft.windows import Windows, make_windows
from tests.bench.gpu_check import measure, settings
from tests.bench.gpu_check.models import (
    NUM_CODES,
    Shape,
    body_weights,
    random_catalogue,
    random_model,
    random_policy,
    random_prompts,
)

BEAM_WIDTH = 20
Report = Callable[[dict[str, Any]], None]


def beam(shape: Shape, device: torch.device, report: Report) -> None:
    """Beam search as in an evaluation: all users, seen items left out, by batch size."""
    policy = random_policy(shape, device, torch.bfloat16, lora=False)
    policy.search_dtype = torch.bfloat16
    sids = random_catalogue(shape)
    trie = Trie.from_sids(sids, NUM_CODES, device)
    histories = random_prompts(shape, shape.num_users).histories
    positions = len(policy.opening) + 3 * shape.history + 2 * BEAM_WIDTH
    work = 2 * body_weights(shape) * positions * shape.num_users

    def search(num_users: int, batch: int) -> Callable[[], Any]:
        some = histories[:num_users]
        return lambda: rank_users(policy, some, sids, trie, BEAM_WIDTH, banned=some, batch_size=batch)

    rate = measure.matrix_rate(device)
    for batch in shape.search_batches:

        def case(batch: int = batch) -> dict[str, Any]:
            found = measure.measured(search(shape.num_users, batch), device, 1, warm_up=search(batch, batch))
            mfu = work / found["seconds"] / rate
            return {"case": f"batch {batch}", **found, "users_per_s": shape.num_users / found["seconds"], "mfu": mfu}

        report(measure.or_out_of_memory(case))
    batch = shape.search_batches[-1]
    report({"case": f"profile, batch {batch}", "profile": measure.kernels(search(batch, batch), device)})


def _windows(shape: Shape) -> Windows:
    """Full windows: a history and one target more."""
    width, count = shape.history + 1, shape.windows_per_step
    items = np.random.default_rng(0).integers(0, shape.num_items, width * count)
    return make_windows(items, np.arange(0, width * count + 1, width), shape.history)


def _adapter_weights(policy: Policy) -> int:
    return sum(p.numel() for name, p in policy.trainable_parameters().items() if "lora_" in name)


def sft(shape: Shape, device: torch.device, report: Report) -> None:
    """Optimizer steps of LoRA fine-tuning, by micro-batch.

    The model's share of the device (MFU) counts the work that LoRA needs: of a frozen weight two operations a token
    forwards and two backwards, of an adapter's six; nothing that is computed twice.
    """
    windows, sids = _windows(shape), random_catalogue(shape)
    rows = np.arange(len(windows))
    policy = random_policy(shape, device, torch.bfloat16, lora=True)
    tokens = len(windows) * (len(policy.opening) + 3 * (shape.history + 1) - 1)
    work = tokens * (4 * body_weights(shape) + 6 * _adapter_weights(policy))
    rate, datasheet = measure.matrix_rate(device), measure.datasheet_rate(device)

    def case(micro: int, compile_: bool) -> float:
        step = Trainer(policy, windows, sids, settings.sft(micro_batch_size=micro, compile=compile_), 0).step
        found = measure.or_out_of_memory(lambda: measure.measured(lambda: step(rows, 1e-4), device, shape.repeats))
        policy.model.zero_grad(set_to_none=True)
        if "seconds" in found:
            found |= {"tokens_per_s": tokens / found["seconds"], "mfu": work / found["seconds"] / rate}
            found |= {"mfu_datasheet": work / found["seconds"] / datasheet} if datasheet else {}
        name = f"{'compiled, ' if compile_ else ''}micro-batch {micro}"
        report({"case": name, **found})
        return found.get("seconds", np.inf)

    def profile(micro: int, compile_: bool) -> None:
        step = Trainer(policy, windows, sids, settings.sft(micro_batch_size=micro, compile=compile_), 0).step
        name = f"profile, {'compiled, ' if compile_ else ''}micro-batch {micro}"
        report({"case": name, "profile": measure.kernels(lambda: step(rows[:micro], 1e-4), device)})
        policy.model.zero_grad(set_to_none=True)

    for micro in shape.micro_batches:
        case(micro, False)
    if device.type != "cuda":
        profile(shape.micro_batches[-1], False)
        return
    times = {micro: case(micro, True) for micro in shape.compiled_micro_batches}
    best = min(times, key=lambda micro: times[micro])
    if times[best] < np.inf:
        profile(best, True)


def grpo(shape: Shape, device: torch.device, report: Report) -> None:
    """Steps of reinforcement learning, 16 candidates a prompt: the rollout, the update and both."""
    policy = random_policy(shape, device, torch.bfloat16, lora=True)
    policy.forward_dtype = policy.search_dtype = torch.bfloat16
    sids, prompts = random_catalogue(shape), random_prompts(shape, shape.prompts_per_step)
    context = RewardContext(
        torch.from_numpy(sids.astype(np.int64)).to(device), torch.ones(len(sids), dtype=torch.long, device=device)
    )
    trie = Trie.from_sids(sids, NUM_CODES, device)
    target = torch.from_numpy(prompts.target).to(device)

    def rollouts(chunk: int) -> Callable[[], Any]:
        config = settings.rl(rollout={**settings.RL["rollout"], "chunk_size": chunk})
        generate = LocalRollouts(RolloutWorker(policy, trie, sids, config, 0), LearnerGroup())
        return lambda: generate(0, prompts, dict)

    def updates(micro: int) -> Callable[[], Any]:
        config = settings.rl(micro_batch_size=micro)
        learner = Learner(policy, config, build_terms(config.rewards), context)
        return lambda: learner.update(0, prompts, form_groups(items, target, config.empty_groups))

    def case(name: str, run: Callable[[], Any]) -> None:
        found = measure.or_out_of_memory(lambda: measure.measured(run, device, shape.repeats))
        if "seconds" in found:
            found["ms_per_prompt"] = 1e3 * found["seconds"] / shape.prompts_per_step
        policy.model.zero_grad(set_to_none=True)
        report({"case": name, **found})

    def profile(name: str, run: Callable[[], Any]) -> None:
        report({"case": f"profile, {name}", "profile": measure.kernels(run, device)})

    items = torch.from_numpy(rollouts(shape.rollout_chunk)().items).to(device)
    for compile_, micro in ((False, shape.rl_micro_batch), (True, shape.compiled_rl_micro_batch)):
        if compile_ and device.type != "cuda":
            continue
        if compile_:
            compile_layers(policy.body)
        label = "compiled, " if compile_ else ""
        generate, update = rollouts(shape.rollout_chunk), updates(micro)
        case(f"{label}rollout, {shape.rollout_chunk} at a time", generate)
        case(f"{label}update, micro-batch {micro}", update)
        case(f"{label}step", lambda generate=generate, update=update: (generate(), update()))
    profile(f"{label}rollout", generate)
    profile(f"{label}update", update)


def embed(shape: Shape, device: torch.device, report: Report) -> None:
    """Texts to vectors with a model of this shape; lengths from half to all of `text_tokens`."""
    model = random_model(shape, device, torch.bfloat16).base_model
    options = transformer.Config(model="random", pooling="last", dtype="bfloat16")
    rng = np.random.default_rng(0)
    lengths = rng.integers(shape.text_tokens // 2, shape.text_tokens + 1, shape.num_texts)
    texts = [rng.integers(2, shape.text_vocabulary, length).tolist() for length in lengths]

    def encode(count: int) -> Callable[[], Any]:
        return lambda: transformer.encode_tokens(
            model,
            texts[:count],
            options,
            batch_tokens=shape.embed_batch_tokens,
            device=str(device),
            progress=silent,
        )

    rate = measure.matrix_rate(device)

    def case() -> dict[str, Any]:
        found = measure.measured(encode(shape.num_texts), device, 1, warm_up=encode(512))
        speed = int(lengths.sum()) / found["seconds"]
        return {**found, "tokens_per_s": speed, "mfu": speed * 2 * body_weights(shape) / rate}

    report({"case": f"{shape.num_texts} texts", **measure.or_out_of_memory(case)})
    report({"case": "profile, 512 texts", "profile": measure.kernels(encode(512), device)})
