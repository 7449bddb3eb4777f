"""Random tables by random writers: whatever a table holds is in the output, in the quarantine, or refused with an error.

The oracle is the table that the files were made of, not a second reading of them. It runs for FUZZ_SECONDS (120), from
seeds 0, 1, ..., so that a failure comes again.
"""

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine

from genrec.config import DataConfig
from genrec.data import ingest, reading
from genrec.data.shards import cut_into_shards
from genrec.errors import DataError
from tests.support.data_samples import run_ingest
from tests.support.random_tables import EVENTS, ITEMS, File, Shop, shops

SECONDS = float(os.environ.get("FUZZ_SECONDS", "120"))
EXAMPLES = 50  # of one seed
CPU_SECONDS = 10  # of one input, which takes far below 1: more of them is an endless loop
SHRINK_SECONDS = 30  # for a smaller input that fails as well
COLUMNS = {"interactions": EVENTS, "items": ITEMS}


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_what_is_not_read_is_set_aside_or_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: Counter[str] = Counter()
    # Hypothesis has no setting for it, and its own 300 s would end in the timeout of the test.
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", SHRINK_SECONDS)

    def check(data: Any) -> None:
        folder = tmp_path_factory.mktemp("shop")
        (folder / "in").mkdir()
        shop = data.draw(shops(folder / "in"))
        monkeypatch.setattr(reading, "BLOCK_BYTES", shop.cuts.block_bytes)
        try:
            with _no_endless_loop():
                outcome = _outcome(shop, folder)
        except BaseException:
            outcomes["failed"] += 1
            if outcomes["failed"] == 1:
                print(f"\nthe first failure is input {sum(outcomes.values())}, of seed {number}")
            raise
        outcomes[outcome] += 1

    end = time.monotonic() + SECONDS
    for number in itertools.count():
        run = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(seed(number)(given(st.data())(check)))
        run()
        if time.monotonic() > end:
            break
    print(f"\n{sum(outcomes.values())} inputs from {number + 1} seeds: {dict(sorted(outcomes.items()))}")
    assert outcomes["read"] + outcomes["read with rows set aside"] > outcomes["refused"] > 0


@contextmanager
def _no_endless_loop() -> Iterator[None]:
    """Fails what takes more than CPU_SECONDS, which unlike a time limit does not depend on what else runs."""

    def fail(*_: Any) -> None:
        raise AssertionError(f"an input was not read within {CPU_SECONDS} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


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
        left_out = set(ingest.left_out(config))
        max_bytes, max_rows, _ = shop.cuts
        run_ingest(config, folder, cut_into_shards(ingest.source_files(config), max_bytes, max_rows))
    except DataError as error:
        if shop.honest:
            raise AssertionError(f"refused, though nothing is wrong: {error}") from error
        return "refused"
    assert not shop.mixed, "read, though the files count their times in different units"
    assert left_out == {file.name for file in shop.files if not file.read}
    quarantine = pl.read_parquet(folder / "ingest/quarantine.parquet")
    if shop.honest:
        _check_reasons(shop, quarantine)
    bad = {(file, line) for file, line in quarantine.select("file", "line").iter_rows()}
    cuts = dict(quarantine.filter(pl.col("reason") == "truncated_file").select("file", "line").iter_rows())
    for kind, columns in COLUMNS.items():
        files = [file for file in shop.files if file.kind == kind and file.read]
        _compare(files, _rows(folder, kind, columns), bad, cuts)
    return "read" if quarantine.height == 0 else "read with rows set aside"


def _check_reasons(shop: Shop, quarantine: pl.DataFrame) -> None:
    """Nothing is set aside but repeats, and what is no row."""
    wrong = {(file.name, line) for file in shop.files for line in file.wrong}
    for file, line, reason, detail in quarantine.select("file", "line", "reason", "detail").iter_rows():
        assert reason.startswith("duplicate_") or (file, line) in wrong, f"set aside: {file} {line} {reason}: {detail}"


def _rows(folder: Path, kind: str, columns: tuple[str, ...]) -> Counter:
    frame = pl.read_parquet(folder / f"ingest/{kind}.parquet").select(columns)
    return Counter(tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in frame.iter_rows())


def _compare(files: list[File], found: Counter, bad: set, cuts: dict[str, int]) -> None:
    num_touched = 0
    for file in files:
        set_aside = {line for name, line in bad if name == file.name}
        assert file.wrong <= set_aside, f"not set aside: lines {file.wrong - set_aside} of {file.name}"
        if not file.touched:
            rows_at = {line for first, last in file.lines for line in range(first, last + 1)}
            assert set_aside <= rows_at | file.wrong, f"set aside, though no row: {set_aside - rows_at} of {file.name}"
        for row, (first, last) in zip(file.rows, file.lines, strict=True):
            lines = set(range(first, last + 1))
            if lines & file.touched:
                num_touched += 1
                continue
            if lines & set_aside:
                continue
            row = tuple(float(np.float32(v)) if isinstance(v, float) else v for v in row)
            if found[row] > 0:
                found[row] -= 1
                continue
            assert last >= cuts.get(file.name, last + 1), f"lost: {row} of {file.name}, lines {first} to {last}"
    others = list(found.elements())
    assert len(others) <= num_touched, f"never written: {others}"
