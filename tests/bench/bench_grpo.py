"""A full GRPO step (rollout, reward, update; 16 candidates a prompt): ours beside TRL's GRPOTrainer.

    python -m tests.bench.bench_grpo [--prompts 64] [--steps 3] [--repeats 3] [--threads 1]

The same random model, prompts and number of candidates in one process; both sides keep a frozen reference for the KL
term, take one optimizer step on a set of candidates and train on every group. TRL samples, unconstrained (its fastest
way here, though most of what it draws is no item) and constrained to the ids of the catalogue by a prefix function;
ours is timed with beam search and with samples. Repeats alternate, medians are compared.

TRL is no dependency of the project. Into a folder of its own:

    pip install --target trl-peer --no-deps trl datasets dill multiprocess xxhash
    PYTHONPATH=trl-peer python -m tests.bench.bench_grpo
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from genrec.config import RlConfig
from genrec.model.policy import Policy
from genrec.search.trie import Trie
from genrec.train.learner_group import LearnerGroup
from genrec.train.rl.groups import form_groups
from genrec.train.rl.learner import Learner
from genrec.train.rl.prompts import PromptSet
from genrec.train.rl.reward_context import RewardContext
from genrec.train.rl.rewarding import build_terms
from genrec.train.rl.rollout import LocalRollouts, RolloutWorker
from tests.bench.bench_decode import NUM_CODES, NUM_LEVELS, build

GROUP, KL, RATE = 16, 1e-3, 1e-5


def make_prompts(num_prompts: int, num_items: int, history: int) -> PromptSet:
    rng = np.random.default_rng(1)
    items = rng.integers(0, num_items, (num_prompts, history + 1))
    return PromptSet(np.arange(num_prompts), list(items[:, :-1]), items[:, -1])


def seconds_of_ours(policy: Policy, sids: np.ndarray, prompts: PromptSet, steps: int, mode: str) -> float:
    """Time of a step, after one to warm up."""
    config = RlConfig.model_validate(
        {
            "group_size": GROUP,
            "kl_coef": KL,
            "learning_rate": RATE,
            "rollout": {"mode": mode, "chunk_size": len(prompts.target)},
            "micro_batch_size": len(prompts.target),
            "empty_groups": "keep",
            "target_anchor": 0.0,
        }
    )
    context = RewardContext(torch.from_numpy(sids.astype(np.int64)), torch.ones(len(sids), dtype=torch.long))
    learner = Learner(policy, config, build_terms(config.rewards), context)
    rollouts = LocalRollouts(RolloutWorker(policy, Trie.from_sids(sids, NUM_CODES), sids, config, 0), LearnerGroup())
    target = torch.from_numpy(prompts.target)

    def step(number: int) -> None:
        found = rollouts(number, prompts, dict)
        learner.update(number, prompts, form_groups(torch.from_numpy(found.items), target, "keep"))

    step(0)
    start = time.perf_counter()
    for number in range(1, steps + 1):
        step(number)
    return (time.perf_counter() - start) / steps


def tokenizer_of(policy: Policy) -> Any:
    """Every token id as a word, so that the peer's text interface gives it the very ids ours reads."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(policy.vocab.end_token_id)}, unk_token="t2"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="t0", eos_token="t1", unk_token="t2", padding_side="left"
    )


def seconds_of_trl(policy: Policy, sids: np.ndarray, prompts: PromptSet, steps: int, constrained: bool) -> float:
    """Time of a step of TRL's trainer, after one to warm up."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    tokens = policy.vocab.token_ids(sids)
    text = [" ".join(f"t{t}" for t in row) for row in tokens.tolist()]
    rows = [f"t{policy.vocab.bos_token_id} " + " ".join(text[i] for i in history) for history in prompts.histories]
    data = Dataset.from_dict({"prompt": rows, "target": [text[i] for i in prompts.target]})
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    def exact_hit(completions: list[str], target: list[str], **_: Any) -> list[float]:
        return [float(found.strip() == wanted) for found, wanted in zip(completions, target, strict=True)]

    batch = GROUP * len(rows)
    with tempfile.TemporaryDirectory() as folder:
        model: Any = policy.model
        model.save_pretrained(folder)  # the trainer loads its reference from where the policy came from
        config = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=batch,
            num_generations=GROUP,
            max_completion_length=NUM_LEVELS,
            generation_kwargs={"min_new_tokens": NUM_LEVELS},
            beta=KL,
            num_iterations=1,
            learning_rate=RATE,
            loss_type="grpo",
            max_steps=steps + 1,
            model_init_kwargs={"dtype": "float32", "local_files_only": True},
            bf16=False,
            gradient_checkpointing=False,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            shuffle_dataset=False,
        )
        trainer = GRPOTrainer(
            model=folder, reward_funcs=exact_hit, args=config, train_dataset=data, processing_class=tokenizer_of(policy),
            callbacks=[Clock()],
        )  # fmt: skip
        if constrained:
            trainer.model.generate = _constrained(trainer.model, tokens.tolist())
        trainer.train()
    return (times[-1] - times[0]) / steps


def _constrained(model: Any, tokens: list[list[int]]) -> Callable[..., Any]:
    """`generate` with the dictionary of allowed tokens by prefix that a user would write."""
    follow: dict[tuple, set] = {}
    for row in tokens:
        for level in range(NUM_LEVELS):
            follow.setdefault(tuple(row[:level]), set()).add(row[level])
    allowed = {prefix: sorted(codes) for prefix, codes in follow.items()}
    plain = type(model).generate

    def generate(**arguments: Any) -> Any:
        width = arguments["input_ids"].shape[1]
        return plain(model, prefix_allowed_tokens_fn=lambda _, ids: allowed[tuple(ids[width:].tolist())], **arguments)

    return generate


def trl_missing() -> str | None:
    """Why TRL cannot be measured, or None."""
    try:
        import datasets  # noqa: F401
        import trl  # noqa: F401
    except ImportError as error:
        return f"{error}; see the top of this file for how to install it"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--history", type=int, default=11, help="items in every history")
    parser.add_argument("--items", type=int, default=4344)
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    prompts = make_prompts(args.prompts, args.items, args.history)
    cases: dict[str, Callable[[Policy, np.ndarray], float]] = {
        "ours, beam": lambda policy, sids: seconds_of_ours(policy, sids, prompts, args.steps, "beam"),
        "ours, samples": lambda policy, sids: seconds_of_ours(policy, sids, prompts, args.steps, "sample"),
    }
    reason = trl_missing()
    if reason is None:
        cases["trl, any tokens"] = lambda policy, sids: seconds_of_trl(policy, sids, prompts, args.steps, False)
        cases["trl, ids of the catalogue"] = lambda policy, sids: seconds_of_trl(
            policy, sids, prompts, args.steps, True
        )
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(args.repeats):
        for name, run in cases.items():
            rates[name].append(args.prompts / run(*build(args.items, args.hidden_size, args.num_layers)))
    median = {name: statistics.median(values) for name, values in rates.items()}
    report: dict[str, Any] = {
        "prompts_per_s": {name: round(value, 2) for name, value in median.items()},
        "range": {name: [round(min(v), 2), round(max(v), 2)] for name, v in rates.items()},
        "ours_is_faster_by": {
            name: round(median["ours, beam"] / value, 2) for name, value in median.items() if name.startswith("trl")
        },
        "settings": {**vars(args), "group_size": GROUP, "prompt_tokens": 1 + NUM_LEVELS * args.history},
    }
    if reason is not None:
        report["peer"] = f"skipped: {reason}"
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
