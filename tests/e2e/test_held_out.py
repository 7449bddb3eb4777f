"""Nothing before evaluate depends on what is to be predicted: other test targets change no artifact that models see."""

import hashlib
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from genrec.store.local import Store
from tests.e2e.conftest import run_flow, tiny_config
from tests.support.shop_files import WORDS, write_items, write_purchases
from tests.support.stages import ALWAYS

NUM_USERS, NUM_ITEMS, NUM_EVENTS = 80, 40, 7


def _write_shop(folder: Path, shift: int) -> None:
    """A shop in which `shift` changes the last purchase of every user, and nothing else.

    Everything that may legitimately be computed from all events stays the same: a user's purchases are distinct with
    either last one (no repeat is dropped), every item is bought `k_core` times before (the same core), and times do not
    move (the same split).
    """
    draw = random.Random(0)
    write_items(folder / "items.csv", {i: " ".join(draw.choices(WORDS, k=5)) for i in range(NUM_ITEMS)})
    bought = []
    for user in range(NUM_USERS):
        first = draw.randrange(NUM_ITEMS)
        items = [
            (first + n) % NUM_ITEMS for n in range(NUM_EVENTS - 1)
        ]  # neighbours follow each other: there is something to learn
        bought.append([*items, (items[-1] + 1 + shift + user % 3) % NUM_ITEMS])
    write_purchases(folder / "interactions.csv", bought)


@pytest.fixture(scope="module")
def twins(tmp_path_factory, prefect_server, ray_cluster):
    """Two runs of one config in one store, on shops that differ in the test targets; stage -> artifact of each."""
    root = tmp_path_factory.mktemp("twins")
    store = Store(root / "store")
    runs = []
    for name, shift in (("one", 0), ("other", 11)):
        _write_shop(root / name, shift)
        small = ("embed.options.dim=8", "sid.num_codes=16", "rl.num_rollout_workers=0")
        report = run_flow(tiny_config(store.root, f"data.path={root / name}", *small, base="table.yaml"), name)
        runs.append({s["name"]: store.lookup(s["key"]) for s in report["stages"]} | {"report": report})
    return runs


def _files(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file of an artifact, without its manifest, which names the inputs and the time."""
    paths = (p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def _changed(one: Path, other: Path) -> set[str]:
    first, second = _files(one), _files(other)
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def test_the_two_shops_differ_in_every_test_target_and_in_nothing_else_that_prepare_writes(twins):
    one, other = (run["prepare"].path for run in twins)
    assert _changed(one, other) == {"test.parquet"}
    first, second = (pq.read_table(folder / "test.parquet") for folder in (one, other))
    assert first.num_rows == second.num_rows == NUM_USERS
    assert first.drop_columns("target").equals(second.drop_columns("target"))
    assert not any(a == b for a, b in zip(first["target"].to_pylist(), second["target"].to_pylist(), strict=True))
    assert pq.read_table(one / "catalogue.parquet")["train_count"].to_numpy().min() >= 3


@pytest.mark.parametrize("stage", ["embed", "sid", "base", "sft", "rl"])
def test_what_is_learned_has_the_same_digest_with_other_test_targets(twins, stage):
    one, other = (run[stage] for run in twins)
    assert one.key != other.key, "the second run took the first one's artifact: nothing was compared"
    assert one.digest == other.digest, _changed(one.path, other.path)


def test_reinforcement_learning_took_the_steps_that_are_compared(twins):
    """Their rewards are in its training log, which is part of the digest also where the fine-tuned model is kept."""
    for run in twins:
        log = pq.read_table(run["rl"].path / "training_log.parquet").to_pylist()
        assert [row["step"] for row in log if row["name"] == "reward"] == [1, 2]


def test_baselines_rank_the_same_lists_for_other_test_targets(twins):
    """Their artifact holds the target and its rank beside every list; items and scores must be equal."""
    one, other = (run["baselines"].path for run in twins)
    tables = sorted(p.name for p in one.glob("*.parquet"))
    assert len(tables) >= 6
    for name in tables:
        first, second = (pq.read_table(folder / name) for folder in (one, other))
        told = [n for n in first.column_names if n not in ("target", "rank")]
        assert first.select(told).equals(second.select(told)), name


def test_evaluate_measures_the_same_lists_against_the_other_targets(twins):
    one, other = (pq.read_table(run["evaluate"].path / "predictions.parquet") for run in twins)
    told = [n for n in one.column_names if n not in ("target", "rank")]
    assert one.select(told).equals(other.select(told))
    assert one["rank"].to_pylist() != other["rank"].to_pylist()
    first, second = (json.dumps(run["report"]["metrics"], sort_keys=True) for run in twins)
    assert first != second
    assert [s["status"] for run in twins for s in run["report"]["stages"]] == ["computed"] * 2 * len(ALWAYS)
