"""How fast: fine-tuning, reinforcement learning and embedding on a model of the given shape, in bfloat16.

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
    SEQUENCE_LENGTHS,
    Shape,
    add_items,
    body_weights,
    random_catalogue,
    random_model,
    random_policy,
    random_prompts,
)

Report = Callable[[dict[str, Any]], None]


def _windows(shape: Shape, lengths: np.ndarray) -> Windows:
    """Windows of `lengths` items, targets all, whose histories are at most `shape.long_history` long."""
    items = np.random.default_rng(0).integers(0, shape.num_items, lengths.sum())
    return make_windows(items, np.concatenate([[0], np.cumsum(lengths)]), shape.long_history)


def _adapter_weights(policy: Policy) -> int:
    return sum(p.numel() for name, p in policy.trainable_parameters().items() if "lora_" in name)


def sft(shape: Shape, device: torch.device, report: Report) -> None:
    """Optimizer steps of LoRA fine-tuning, compiled where there is a GPU: packed and padded, and by micro-batch.

    The model's share of the device (MFU) counts the work that LoRA needs: of a frozen weight two operations a token
    forwards and two backwards, of an adapter's six; nothing that is computed twice, and no padding.
    """
    sids, on_gpu = random_catalogue(shape), device.type == "cuda"
    policy = add_items(random_policy(shape, device, torch.bfloat16, lora=True), shape)
    rate, datasheet = measure.matrix_rate(device), measure.datasheet_rate(device)
    full = np.full(shape.windows_per_step, shape.history + 1)
    uneven = np.random.default_rng(1).choice(SEQUENCE_LENGTHS, 2 * shape.windows_per_step)

    def trainer(lengths: np.ndarray, micro: int | str, packed: bool) -> Trainer:
        config = settings.sft(micro_batch_size=micro, compile=on_gpu, batch_size=len(lengths))
        made = Trainer(policy, _windows(shape, lengths), sids, config, 0)
        made.packed = packed and policy.can_pack
        return made

    def case(name: str, made: Trainer) -> None:
        rows = np.arange(len(made.windows))
        tokens = int((len(policy.opening) + 3 * made.windows.lengths - 1).sum())
        work = tokens * (4 * body_weights(shape) + 6 * _adapter_weights(policy))

        def steps() -> None:
            for _ in range(shape.steps_in_a_row):
                made.step(rows, 1e-4)

        found = measure.or_out_of_memory(lambda: measure.measured(steps, device, max(1, shape.repeats - 1)))
        if "seconds" in found:
            found["seconds"] /= shape.steps_in_a_row
            found["range_s"] = [seconds / shape.steps_in_a_row for seconds in found["range_s"]]
        policy.model.zero_grad(set_to_none=True)
        if "seconds" in found:
            found |= {"tokens_per_s": tokens / found["seconds"], "mfu": work / found["seconds"] / rate}
            found |= {"mfu_datasheet": work / found["seconds"] / datasheet} if datasheet else {}
        report({"case": name, **found, "micro_batch": made.micro_batch.size})

    largest = shape.micro_batches[-1]
    case(f"padded, even, micro-batch {largest}", trainer(full, largest, False))
    case("packed, uneven, micro-batch auto", trainer(uneven, "auto", True))
    packed = trainer(full, largest, True)
    case(f"packed, even, micro-batch {largest}", packed)
    every = np.arange(len(packed.windows))
    measure.profiled(shape, f"packed, even, micro-batch {largest}", lambda: packed.step(every, 1e-4), device, report)
    case("padded, uneven, micro-batch auto", trainer(uneven, "auto", False))
    for micro in shape.micro_batches[:-1]:
        case(f"packed, even, micro-batch {micro}", trainer(full, micro, True))


def grpo(shape: Shape, device: torch.device, report: Report) -> None:
    """Steps of reinforcement learning, 16 candidates a prompt: the rollout, the update and both."""
    policy = add_items(random_policy(shape, device, torch.bfloat16, lora=True), shape)
    policy.forward_dtype = policy.search_dtype = torch.bfloat16
    sids, prompts = random_catalogue(shape), random_prompts(shape, shape.prompts_per_step)
    context = RewardContext(
        torch.from_numpy(sids.astype(np.int64)).to(device), torch.ones(len(sids), dtype=torch.long, device=device)
    )
    trie = Trie.from_sids(sids, NUM_CODES, device)
    target = torch.from_numpy(prompts.target).to(device)

    def rollouts(chunk: int, recorded: bool = True) -> Callable[[], Any]:
        config = settings.rl(rollout={**settings.RL["rollout"], "chunk_size": chunk})
        worker = RolloutWorker(policy, trie, sids, config, 0)
        if not recorded:
            worker.graphs.enabled = False
        generate = LocalRollouts(worker, LearnerGroup())
        return lambda: generate(0, prompts, dict)

    def updates(micro: int | str) -> Callable[[], Any]:
        config = settings.rl(micro_batch_size=micro)
        learner = Learner(policy, config, build_terms(config.rewards), context)
        return lambda: learner.update(0, prompts, form_groups(items, target, config.empty_groups))

    def case(name: str, run: Callable[[], Any]) -> None:
        twice = lambda: (run(), run())  # noqa: E731 (a rollout is recorded when its shape comes again)
        found = measure.or_out_of_memory(lambda: measure.measured(run, device, shape.repeats, warm_up=twice))
        if "seconds" in found:
            found["ms_per_prompt"] = 1e3 * found["seconds"] / shape.prompts_per_step
        policy.model.zero_grad(set_to_none=True)
        report({"case": name, **found})

    chunk = shape.rollout_chunk
    items = torch.from_numpy(rollouts(chunk)().items).to(device)
    if device.type == "cuda":
        compile_layers(policy.body)
    generate, update, by_memory = rollouts(chunk), updates(shape.rl_micro_batch), updates("auto")
    case(f"rollout, {chunk} at a time", generate)
    case(f"update, micro-batch {shape.rl_micro_batch}", update)
    case("step", lambda: (generate(), update()))
    case("step, micro-batch auto", lambda: (generate(), by_memory()))
    case(f"rollout, {chunk} at a time, not recorded", rollouts(chunk, recorded=False))
    measure.profiled(shape, "rollout", generate, device, report)
    measure.profiled(shape, "update", update, device, report)


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
    measure.profiled(shape, "512 texts", encode(512), device, report)
