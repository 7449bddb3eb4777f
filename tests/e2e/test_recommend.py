"""Lists for every customer out of a finished run: killed and resumed, by the command line, and with a users' file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from genrec.store.local import Store
from genrec.tables import INTERACTIONS_FILE, RECOMMENDATIONS_FILE
from tests.e2e.conftest import ROOT
from tests.support.served import clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SHARDS = "recommend.shard_size=20"


def _lists(store: Path, **asked):
    from flows.recommend import recommend_flow

    return recommend_flow(run_id="lists", store=str(store), **asked)


def _finished_shards(store: Path) -> list[Path]:
    return sorted((store / "work").glob("recommend-*/shard-*.json"))


def _killed_in_the_middle(store: Path) -> None:
    """The command, and SIGKILL for it and its Ray once two shards are finished."""
    command = [sys.executable, "-m", "flows", "recommend", "--run", "first", "--store", str(store), "--set", SHARDS]
    process = subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), start_new_session=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 400
    while len(_finished_shards(store)) < 2:
        assert process.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def test_a_batch_that_was_killed_goes_on_with_the_missing_shards_and_ends_with_the_bytes_of_one_that_ran_through(
    store, tmp_path, prefect_server, ray_cluster
):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for copy in (killed, whole):
        shutil.copytree(store, copy, symlinks=True, ignore=shutil.ignore_patterns("work", "locks", "prefect"))
    _killed_in_the_middle(killed)
    (work,) = (killed / "work").glob("recommend-*")
    before = {record.name: record.stat().st_mtime_ns for record in _finished_shards(killed)}
    assert len(before) < 15, "killed too late to see anything"
    (whole / "work" / work.name).mkdir(parents=True)
    shutil.copyfile(work / "plan.json", whole / "work" / work.name / "plan.json")  # the same time at which it was made

    resumed = _lists(killed, run="first", settings=[SHARDS])
    ran_through = _lists(whole, run="first", settings=[SHARDS])
    assert resumed["shards_taken_over"] >= len(before)
    assert ran_through["shards_taken_over"] == 0
    assert resumed["key"] == ran_through["key"] == work.name
    assert resumed["digest"] == ran_through["digest"]
    assert _finished_shards(killed) == []

    ingest = Store(killed).lookup(next(p.name for p in (killed / "objects").glob("ingest-*")))
    users = set(INTERACTIONS_FILE.read(ingest.path)["user_id"].to_pylist())
    table = pq.read_table(RECOMMENDATIONS_FILE.parts(Path(resumed["path"])))
    assert set(table["user_id"].to_pylist()) == users
    assert {len(items) for items in table["items"].to_pylist()} == {10}
    latest = json.loads((killed / "recommendations" / "demo" / "latest.json").read_text())
    assert latest == {**resumed, "status": "computed"}

    again = _lists(killed, run="first", settings=[SHARDS])
    assert (again["status"], again["digest"]) == ("cached", resumed["digest"])

    (tmp_path / "users.csv").write_text(f"user_id\nnobody\n{min(users)}\n")
    fields = {"recommend.users": str(tmp_path / "users.csv"), "recommend.k": 3, "recommend.out": str(tmp_path / "out")}
    few = _lists(killed, run="latest", fields=fields)
    assert (few["users"], few["unknown_named"], few["k"]) == (2, ["nobody"], 3)
    rows = pq.read_table(tmp_path / "out" / "recommendations-00000.parquet").to_pylist()
    assert [(row["user_id"], row["source"], len(row["items"])) for row in rows] == [
        (min(users), "model", 3),
        ("nobody", "popular", 3),
    ]
