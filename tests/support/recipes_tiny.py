"""Reports of small runs of recipes whose models hit a chosen share of the users."""

import json
from pathlib import Path

import numpy as np

from genrec.config import Config
from genrec.measure.comparison import TRAINED
from genrec.measure.evaluation import merge
from genrec.measure.predictions import write_counts, write_part
from genrec.measure.rows import read_rows
from genrec.report.collect import collect
from tests.support.evaluate_tiny import CONFIG, NUM_ITEMS, NUM_USERS, write_summary


def write_run(
    root: Path, prepared: Path, name: str, seed: int = 0, *, unchanged: bool = False, **shares: float
) -> dict:
    """report.json of a run of recipe `name`: each model lists the target first for its share of the users.

    `unchanged`: its RL returned the sft model.
    """
    rows = read_rows(prepared, "test")
    folder = root / f"{name}-{seed}".replace("<", "_").replace("/", "_")
    for model, share in shares.items():
        generator = np.random.default_rng(seed)
        items = np.stack([generator.permutation(NUM_ITEMS)[:6] for _ in range(NUM_USERS)]).astype(np.int32)
        for u in range(NUM_USERS):
            rest = [i for i in items[u] if i != rows.targets[u]][:5]
            hit = (u + seed) % NUM_USERS < share * NUM_USERS
            items[u] = [rows.targets[u], *rest] if hit else [*rest, (rows.targets[u] + 1) % NUM_ITEMS]
        for protocol in ("drop", "keep"):
            write_part(folder / "parts", model, protocol, 0, rows, items, -np.sort(items, axis=1).astype(np.float32))
        score = {"score": {"ids": 0.6, "dense": 0.4}} if model in TRAINED else {}
        write_counts(folder / "parts", model, 0, users=NUM_USERS, seconds=0.5, invalid=0, **score)
    identical = {"rl": "sft"} if unchanged else {}
    summary = merge(folder / "parts", prepared, CONFIG, folder / "evaluate", identical=identical)
    write_summary(folder / "evaluate", **summary)
    config = Config(name="x", seed=seed).model_dump(mode="json") | {"name": name}
    config["sft"]["adapter"] = "qlora" if name == "b" else "lora"
    keys = {"prepare": str(prepared), "evaluate": str(folder / "evaluate")}
    stages = [{"name": n, "key": k, "status": "computed", "seconds": 1.0, "reason": ""} for n, k in keys.items()]
    stages += [{"name": n, "key": n, "seconds": 1.0, "computed_seconds": s} for n, s in (("sft", 30.0), ("rl", 12.0))]
    record = {
        "run_id": f"run-{name}-{seed}",
        "config": config,
        "stages": stages,
        "artifacts": {"evaluate": folder / "evaluate"},
    }
    report = collect(record)
    weights = 25 * 2**20 if name == "b" else 100 * 2**20
    report["training"] = {"sft": {"trainable_share": 0.25, "weight_bytes": weights}}
    report["baselines"] = {"itemcf": {"fit_seconds": 0.1, "users_per_s": 100.0}}
    return json.loads(json.dumps(report))
