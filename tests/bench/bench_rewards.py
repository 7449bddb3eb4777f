"""What each reward does: reinforcement learning from one fine-tuned model, once with each reward, on validation.

    python -m tests.bench.bench_rewards [--store .genrec] [--sft KEY] [--steps 60] [--seeds 0] [--algorithm grpo]

Needs a store in which a run got as far as the sft stage (`python -m flows run --config ... --until sft`); the newest
model is taken, or the one whose key is given. Every row trains for the same number of steps and shows the weights of
the last one, without the gate that would hand the fine-tuned model back: the table is about the rewards, good or bad.
The gate's own choice stands beside it. Hit rate, NDCG and the figures of the lists are those of the evaluation, at 10,
on validation users with items of the history left out. Rewards that need no hit (later_items, transitions) keep the
groups without one, and so does a row of the default beside them. Prints a Markdown table.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from genrec import metrics
from genrec.config import RlConfig
from genrec.list_metrics import ListMetrics
from genrec.model import folder
from genrec.model.policy import Policy
from genrec.search.decode import rank_users
from genrec.search.trie import Trie
from genrec.store.local import Store
from genrec.tables import CATALOGUE, read_sids, read_table
from genrec.train import checkpoint
from genrec.train.rl.train import train_rl
from genrec.train.validation import BEAM_WIDTH, CUTOFF, Validation

REWARDS: dict[str, list[Any]] = {
    "exact_hit": ["exact_hit"],
    "exact_hit, rank_penalty (default)": ["exact_hit", "rank_penalty"],
    "exact_hit, rank_linear": ["exact_hit", "rank_linear"],
    "exact_hit, rank_log": ["exact_hit", "rank_log"],
    "exact_hit, prefix_credit": ["exact_hit", "prefix_credit"],
    "default, category_diversity 0.1": [
        "exact_hit", "rank_penalty", {"name": "category_diversity", "options": {"bonus": 0.1}},
    ],
    "default, category_diversity 0.2": ["exact_hit", "rank_penalty", "category_diversity"],
    "default, new_item": ["exact_hit", "rank_penalty", "new_item"],
    "behaviour": ["behaviour"],
    "default, no group skipped": ["exact_hit", "rank_penalty"],
    "default, later_items": ["exact_hit", "rank_penalty", "later_items"],
    "default, transitions": ["exact_hit", "rank_penalty", {"name": "transitions", "weight": 0.5}],
    "default, later_items, transitions": [
        "exact_hit", "rank_penalty", "later_items", {"name": "transitions", "weight": 0.5},
    ],
}  # fmt: skip
KEEP = ("no group skipped", "later_items", "transitions")  # rows that train on groups without a hit too
HEAD_SHARE = 0.2


class Inputs:
    """The artifacts behind one fine-tuned model."""

    def __init__(self, store: Store, key: str | None) -> None:
        found = [m for m in store.manifests("sft") if key in (None, m["key"])]
        if not found:
            sys.exit(
                f"{store.root}: no such sft artifact; run: python -m flows run --config conf/demo.yaml --until sft"
            )
        self.key = found[0]["key"]
        self.sft = store.object_path(self.key)
        self.prepared, sid, self.base = (store.object_path(found[0]["inputs"][n]) for n in ("prepare", "sid", "base"))
        self.sids = sid / "sids.parquet"
        self.max_history = int(folder.read_meta(self.sft)["max_history"])

    def policy(self) -> Policy:
        return Policy.load(self.sft, self.base, trainable=True)


class Judge:
    """Validation lists of a policy, and their figures."""

    def __init__(self, inputs: Inputs, max_users: int) -> None:
        table = read_sids(inputs.sids)
        policy = inputs.policy()
        trie = Trie.from_sids(table, policy.vocab.num_codes, policy.device)
        self.users = Validation(inputs.prepared / "valid.parquet", max_users, trie, table)
        catalogue = read_table(inputs.prepared / "catalogue.parquet", CATALOGUE, ["categories", "train_count"])
        self.lists = ListMetrics(catalogue, CUTOFF, HEAD_SHARE)

    def __call__(self, policy: Policy) -> dict[str, float]:
        users = self.users
        items, _ = rank_users(policy, users.histories, users.sids, users.trie, BEAM_WIDTH, banned=users.histories)
        ranks = metrics.target_ranks(items, users.targets)
        found = {
            f"hr@{CUTOFF}": float(metrics.hit(ranks, CUTOFF).mean()),
            f"ndcg@{CUTOFF}": float(metrics.ndcg(ranks, CUTOFF).mean()),
        }
        return found | self.lists(items[:, :CUTOFF].astype("int32"))


@torch.no_grad()
def last_policy(inputs: Inputs, work: Path) -> Policy:
    """The policy with the weights training ended with."""
    policy = inputs.policy()
    saved = checkpoint.load(work)
    assert saved is not None
    weights = checkpoint.subset(saved[0], "weights/")
    for name, parameter in policy.trainable_parameters().items():
        parameter.copy_(weights[name])
    return policy


def train(
    inputs: Inputs, judge: Judge, rewards: list[Any], keep: bool, args: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """Figures of the last weights, and the gate's choice."""
    config = RlConfig.model_validate(
        {
            "rewards": rewards,
            "algorithm": args.algorithm,
            "num_steps": args.steps,
            "patience": 10_000,
            "max_kl": 1e9,
            "max_valid_users": args.users,
            "empty_groups": "keep" if keep else args.empty_groups,
        }
    )
    with tempfile.TemporaryDirectory() as name:
        work = Path(name) / "work"
        summary = train_rl(
            inputs.prepared, inputs.sids, inputs.sft, inputs.base, config, max_history=inputs.max_history, seed=seed,
            work=work, out=Path(name) / "out",
        )  # fmt: skip
        return judge(last_policy(inputs, work)) | {"gate": summary["best_step"], "kl": summary["last"].get("kl", 0.0)}


def show(rows: dict[str, list[dict[str, Any]]]) -> str:
    """A Markdown table of means over seeds."""
    names = list(next(iter(rows.values()))[0])
    lines = [
        "| reward | " + " | ".join(names) + " | best checkpoint (0: none beats SFT) |",
        "|---" * (len(names) + 2) + "|",
    ]
    for label, runs in rows.items():
        cells = [f"{statistics.fmean(run[name] for run in runs):.4f}" for name in names]
        steps = ", ".join(str(run["gate"]) for run in runs if "gate" in run) or "-"
        lines.append(f"| {label} | " + " | ".join(cells) + f" | {steps} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=Path(".genrec"))
    parser.add_argument("--sft", help="key of the fine-tuned model; the newest without")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--users", type=int, default=4000, help="validation users")
    parser.add_argument("--algorithm", default="grpo")
    parser.add_argument("--empty-groups", default="skip", choices=["skip", "repair", "keep"])
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not (args.store / "objects").is_dir():
        print(f"skipped: {args.store} is no store; run: python -m flows run --config conf/demo.yaml --until sft")
        return
    inputs = Inputs(Store(args.store), args.sft)
    judge = Judge(inputs, args.users)
    print(
        f"{inputs.key}; {len(judge.users)} validation users; {args.algorithm}, {args.steps} steps; seeds {args.seeds}"
    )
    rows: dict[str, list[dict[str, Any]]] = {"none (SFT)": [judge(inputs.policy())]}
    for label, rewards in REWARDS.items():
        rows[label] = [
            train(inputs, judge, rewards, any(name in label for name in KEEP), args, seed) for seed in args.seeds
        ]
        print(f"  {label}: done", file=sys.stderr, flush=True)
    print(show(rows))


if __name__ == "__main__":
    main()
