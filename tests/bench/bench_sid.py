"""Every tokenizer on every data set at hand: seconds, collisions, use of codes, neighbours; and what a model makes of it.

    python -m tests.bench.bench_sid [--sets shop scientific beauty] [--downstream shop scientific] [--seeds 2]

Data: the synthetic shop, and the review sets beside the checkout where they are present; leave-one-out, LSA vectors of
all text. Downstream: a decoder of 64 hidden units and 2 layers from scratch, a few passes over the training users (shop
8, scientific 5) at a learning rate of 2e-3, the same for every tokenizer; it reads and writes semantic ids alone (no
item vectors, no dense head), so that they are all it knows of an item; HR@10 and NDCG@10 are those of the best pass
on 1,000 validation users, always the same (full catalogue, history left out). Test targets are not looked at: the figures choose a default.
About a quarter of an hour on 2 cores, two thirds of it for the models.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from genrec.config import BaseConfig, SftConfig, SidConfig
from genrec.sid.assign import assign
from genrec.train.base import build_base
from genrec.train.sft.train import train_sft
from tests.bench.sid_data import data_sets, prepared

FUSED = {"weight": 0.5}
TOKENIZERS: dict[str, dict[str, Any]] = {
    "rqkmeans": {"method": "rqkmeans"},
    "rqkmeans_balanced": {"method": "rqkmeans_balanced"},
    "rqvae": {"method": "rqvae"},
    "rqvae_ema": {"method": "rqvae_ema"},
    "rqvae_ema, nearest": {"method": "rqvae_ema", "options": {"last_level": "nearest"}},
    "rqkmeans, fused": {"method": "rqkmeans", "fusion": FUSED},
    "rqkmeans_balanced, fused": {"method": "rqkmeans_balanced", "fusion": FUSED},
    "rqkmeans, extra token": {"method": "rqkmeans", "deduplicate": "extra_token"},
    "rqkmeans, 64 codes": {"method": "rqkmeans", "num_codes": 64},
}
NOT_DOWNSTREAM = ("rqvae_ema, nearest",)
HISTORY = 20
PASSES = {"shop": 8, "scientific": 5, "beauty": 3}


def tokenize(name: str, data: Path, out: Path) -> dict[str, Any] | str:
    """The figures of one tokenizer; its ids stay in `out`. Text where it cannot serve the data set."""
    from genrec.errors import DataError

    config = SidConfig(**TOKENIZERS[name], refit=False)
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    inputs = (data / "vectors.parquet", data / "catalogue.parquet")
    try:
        assign(*inputs, config, 0, out, data / "train.parquet")
    except DataError as error:
        return str(error)
    seconds = time.perf_counter() - start
    quality = json.loads((out / "quality.json").read_text())
    return {"seconds": seconds, **quality}


def downstream(
    data: Path, sids: Path, shape: tuple[int, int], seed: int, epochs: int, folder: Path
) -> tuple[float, float]:
    """(HR@10, NDCG@10) on validation users of a small model trained on these ids."""
    scratch = {"vocab_size": 300, "hidden_size": 64, "num_layers": 2, "intermediate_size": 128}
    base, work, out = (folder / name for name in ("base", "work", "out"))
    for path in (base, work, out):
        path.mkdir(parents=True)
    build_base(BaseConfig(scratch=scratch), *shape, data / "catalogue.parquet", seed, base)
    config = SftConfig(
        view={"name": "sid_tokens"},  # the ids alone, without text beside them
        output={"name": "codes"},
        dense_head={"loss_weight": 0.0},
        epochs=epochs,
        learning_rate=2e-3,
        dropout=0.1,
        max_valid_users=1000,
        checkpoint_every_s=1e9,
    )
    summary = train_sft(data, sids, base, config, max_history=HISTORY, seed=seed, work=work, out=out)
    return summary["valid_hr@10"], summary["valid_ndcg@10"]


def quality_row(name: str, measured: dict[str, Any]) -> list[str]:
    agreement = measured["prefix_agreement"]

    def at(kind: str) -> str:
        return " / ".join(f"{v:.3f}" for v in agreement.get(kind, []))

    return [
        name,
        f"{measured['seconds']:.1f}",
        f"{measured['collision_rate_raw']:.2%}",
        " ".join(f"{v:.0%}" for v in measured["utilization_raw"]),
        " ".join(f"{v:.0f}" for v in measured["perplexity_raw"]),
        f"{measured['reconstruction_error_raw'][-1]:.3f}",
        at("text"),
        at("cooccurrence"),
        f"{measured['moved_share']:.1%}",
    ]


def print_table(head: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


QUALITY_HEAD = [
    *("tokenizer", "seconds", "raw collisions", "codes in use by level", "perplexity by level", "variance lost"),
    *("text neighbours with the same 1 / 2 codes", "co-occurrence neighbours", "ids changed to be unique"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = list(data_sets())
    parser.add_argument("--sets", nargs="*", default=known, choices=known)
    parser.add_argument("--downstream", nargs="*", default=[s for s in ("shop", "scientific") if s in known])
    parser.add_argument("--tokenizers", nargs="*", default=list(TOKENIZERS), choices=list(TOKENIZERS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--data", type=Path, default=None, help="where prepared data is kept between runs")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        for data_set in args.sets:
            measure(data_set, args, Path(scratch))


def measure(data_set: str, args: argparse.Namespace, scratch: Path) -> None:
    data = prepared(data_set, args.data or scratch / "data")
    rows, measured = [], {}
    for name in args.tokenizers:
        figures = tokenize(name, data, scratch / data_set / name)
        if isinstance(figures, str):
            print(f"{data_set}: {name} left out: {figures}")
            continue
        measured[name] = figures
        rows.append(quality_row(name, figures))
    chance = measured[next(iter(measured))]["prefix_agreement"]["chance"]
    print(f"## {data_set}: {figures_of(measured)}; neighbours by chance {' / '.join(f'{v:.4f}' for v in chance)}")
    print_table(QUALITY_HEAD, rows)
    if data_set not in args.downstream:
        return
    rows = []
    for name in [n for n in measured if n not in NOT_DOWNSTREAM]:
        sids = scratch / data_set / name / "sids.parquet"
        shape = (measured[name]["num_levels"], measured[name]["num_codes"])
        start = time.perf_counter()
        results = [
            downstream(data, sids, shape, seed, PASSES[data_set], scratch / f"{data_set}-{name}-{seed}")
            for seed in range(args.seeds)
        ]
        seconds = (time.perf_counter() - start) / args.seeds
        rows.append([name, *(spread([r[i] for r in results]) for i in (0, 1)), f"{seconds:.0f}"])
    print(f"{data_set}, {PASSES[data_set]} passes, {args.seeds} seeds: mean (lowest to highest)")
    print_table(["tokenizer", "HR@10", "NDCG@10", "seconds a seed"], rows)


def figures_of(measured: dict[str, dict[str, Any]]) -> str:
    first = next(iter(measured.values()))
    length = first["sequence_length"]
    return (
        f"{first['num_items']:,} items, {length['text_tokens_mean']:.0f} words and marks a text, "
        f"histories {length['shortened_by']:.1%} shorter as ids"
    )


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


if __name__ == "__main__":
    main()
