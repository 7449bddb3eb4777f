"""Random tables by random writers: whatever a table holds is in the output, in the quarantine, or refused with an error.

The oracle is the table that the files were made of, not a second reading of them. It runs for FUZZ_SECONDS (120), from
seeds 0, 1, ..., so that a failure comes again.
"""

import itertools
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from genrec.config import DataConfig
from genrec.data import ingest
from genrec.errors import DataError
from tests.support.data_samples import run_ingest
from tests.support.random_tables import EVENTS, ITEMS, File, Shop, shops

SECONDS = float(os.environ.get("FUZZ_SECONDS", "120"))
EXAMPLES = 50  # of one seed
COLUMNS = {"interactions": EVENTS, "items": ITEMS}


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_what_is_not_read_is_set_aside_or_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    outcomes: Counter[str] = Counter()

    def check(data: Any) -> None:
        folder = tmp_path_factory.mktemp("shop")
        (folder / "in").mkdir()
        outcomes[_outcome(data.draw(shops(folder / "in")), folder)] += 1

    end = time.monotonic() + SECONDS
    for number in itertools.count():
        run = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(seed(number)(given(st.data())(check)))
        run()
        if time.monotonic() > end:
            break
    print(f"\n{sum(outcomes.values())} inputs from {number + 1} seeds: {dict(sorted(outcomes.items()))}")
    assert outcomes["read"] > outcomes["refused"] > 0


def _outcome(shop: Shop, folder: Path) -> str:
    """How a shop was read; fails where a row is lost, or another one came up."""
    config = DataConfig(
        source=shop.source,
        path=str(folder / "in"),
        options=shop.options,
        max_quarantine_share=1.0,
        max_share_without_metadata=1.0,
    )
    try:
        left_out = ingest.left_out(config)
        run_ingest(config, folder)
    except DataError as error:
        if shop.honest:
            raise AssertionError(f"refused, though nothing is wrong: {error}") from error
        return "refused"
    quarantine = pl.read_parquet(folder / "ingest/quarantine.parquet")
    bad = {(file, line) for file, line in quarantine.select("file", "line").iter_rows()}
    cuts = dict(quarantine.filter(pl.col("reason") == "truncated_file").select("file", "line").iter_rows())
    for kind, columns in COLUMNS.items():
        files = [file for file in shop.files if file.kind == kind and file.name not in left_out]
        _compare(files, _rows(folder, kind, columns), bad, cuts)
    return "read" if quarantine.height == 0 else "read with rows set aside"


def _rows(folder: Path, kind: str, columns: tuple[str, ...]) -> Counter:
    frame = pl.read_parquet(folder / f"ingest/{kind}.parquet").select(columns)
    return Counter(tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in frame.iter_rows())


def _compare(files: list[File], found: Counter, bad: set, cuts: dict[str, int]) -> None:
    num_touched = 0
    for file in files:
        for row, (first, last) in zip(file.rows, file.lines, strict=True):
            lines = set(range(first, last + 1))
            if lines & file.touched:
                num_touched += 1
                continue
            row = tuple(float(np.float32(v)) if isinstance(v, float) else v for v in row)
            if found[row] > 0:
                found[row] -= 1
                continue
            aside = any((file.name, line) in bad for line in lines)
            assert aside or last >= cuts.get(file.name, last + 1), (
                f"lost: {row} of {file.name}, lines {first} to {last}"
            )
    others = list(found.elements())
    assert len(others) <= num_touched, f"never written: {others}"
