"""Poison of each kind at one percent: all of it in quarantine, and the rest as if it had never been there."""

import random
from pathlib import Path

from genrec.config import DataConfig
from tests.support.data_samples import run_ingest, write_lines
from tests.support.promises.count import Count
from tests.unit.data.test_quarantine import GOOD, POISON

_SHARE = 0.01


def poisoned(folder: Path, seeds: int) -> Count:
    """Each kind of poison at random places, `seeds` times; then all kinds together."""
    count = Count(11, f"{len(POISON)} kinds of rows that cannot be used, each at 1% of the rows, and all together")
    write_lines(folder / "clean" / "in" / "a.jsonl", GOOD)
    _ingest(folder / "clean")
    clean = (folder / "clean" / "ingest" / "interactions.parquet").read_bytes()
    for kind in [*range(len(POISON)), None]:
        for seed in range(seeds):
            name = "all kinds" if kind is None else f"kind {kind} ({POISON[kind][0]})"
            with count.attempt(f"{name}, seed {seed}"):
                rng, rows, injected = random.Random(f"{kind} {seed}"), [], dict[str, int]()
                places = set(rng.sample(range(len(GOOD)), int(len(GOOD) * _SHARE)))
                for place, row in enumerate(GOOD):
                    rows.append(row)
                    if place in places:
                        reason, line = POISON[rng.randrange(len(POISON)) if kind is None else kind]
                        rows.append(row if reason == "duplicate_event" else line)
                        injected[reason] = injected.get(reason, 0) + 1
                place = folder / f"{kind}-{seed}"
                write_lines(place / "in" / "a.jsonl", rows)
                assert _ingest(place)["quarantined"] == injected, "quarantine is not what was injected"
                found = (place / "ingest" / "interactions.parquet").read_bytes()
                assert found == clean, "the rest is not that of the clean run"
    return count


def _ingest(folder: Path) -> dict:
    return run_ingest(DataConfig(source="amazon2023", path=str(folder / "in")), folder)
