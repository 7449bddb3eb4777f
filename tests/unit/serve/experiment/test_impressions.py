"""What was shown is written whole, by day, and none is lost at a clean stop."""

import os
import signal
import subprocess
import sys
import threading

import pyarrow.parquet as pq
import pytest

from genrec.errors import GenrecError
from genrec.serve.experiment import Experiment, ImpressionLog, experiment_folder
from genrec.serve.experiment import impressions as module
from genrec.serve.experiment.days import read_impressions
from genrec.serve.experiment.impressions import read_settings
from tests.support.event_logs import T_MS, Clock

EXPERIMENT = Experiment("new-loss", "latest", 0.25)


def writer(folder, **more):
    return ImpressionLog(folder, EXPERIMENT, **{"flush_s": 3600, **more})


def test_a_clean_stop_loses_nothing_and_what_is_read_is_what_was_shown(tmp_path):
    with writer(tmp_path, clock=Clock()) as log:
        log.log("r1", "u1", "candidate", ["a", "b"], model_key="sft-1")
        log.log("r2", "u2", "interleaved", ["a", "c", "d"], ["control", "candidate", None])
    first, second = read_impressions(tmp_path).to_pylist()
    assert first == {
        "request_id": "r1", "user_id": "u1", "shown_at": T_MS, "arm": "candidate", "share": 0.25, "items": ["a", "b"],
        "teams": None, "model_key": "sft-1",
    }  # fmt: skip
    assert second["teams"] == ["control", "candidate", None]
    with pytest.raises(RuntimeError, match="closed"):
        log.log("r3", "u", "control", [])


def test_files_are_by_day_and_two_writers_do_not_meet(tmp_path):
    clock = Clock()
    logs = [writer(tmp_path, clock=clock) for _ in range(2)]
    for day in range(2):
        for log in logs:
            log.log(f"r{day}-{id(log)}", "u", "control", ["a"])
        clock.now_ms += 86_400_000
    for log in logs:
        log.close()
    assert {p.name for p in (tmp_path / "impressions").iterdir()} == {"day=2023-11-14", "day=2023-11-15"}
    assert read_impressions(tmp_path).num_rows == 4


def test_a_full_buffer_is_written_without_waiting(tmp_path):
    log = writer(tmp_path, flush_rows=3)
    written = threading.Event()
    write = log._write
    log._write = lambda *arguments: (write(*arguments), written.set())
    for n in range(3):
        log.log(f"r{n}", "u", "control", ["a"])
    assert written.wait(60)
    log.close()
    assert read_impressions(tmp_path).num_rows == 3


def test_rows_that_cannot_be_written_stay_for_later(tmp_path, monkeypatch):
    log = writer(tmp_path)
    log.log("r1", "u", "control", ["a"])

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_whole", full)
        with pytest.raises(OSError, match="No space"):
            log.flush()
        log.log("r2", "u", "control", ["a"])
        patched.setattr(module, "MAX_BUFFER_ROWS", 1)
        with pytest.raises(OSError, match="No space"):
            log.flush()
    assert log.lost == 1  # the older one
    log.close()
    assert read_impressions(tmp_path)["request_id"].to_pylist() == ["r2"]


@pytest.mark.parametrize(
    ("arm", "teams"), [("other", None), ("interleaved", None), ("control", ["control"]), ("interleaved", [])]
)
def test_rows_that_make_no_sense_are_refused(tmp_path, arm, teams):
    with writer(tmp_path) as log, pytest.raises(ValueError, match=r"arm|teams"):
        log.log("r", "u", arm, ["a"], teams)


def test_a_kill_loses_the_buffer_at_most_and_leaves_whole_files(tmp_path):
    code = """
import sys
from pathlib import Path
from genrec.serve.experiment import Experiment, ImpressionLog
log = ImpressionLog(Path(sys.argv[1]), Experiment("e", "latest", 0.5), flush_s=3600, flush_rows=10**9)
for n in range(100000):
    log.log(f"r{n}", "u", "control", ["a"])
    if n % 10 == 9:
        log.flush()
        print(n + 1, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    said = [int(process.stdout.readline()) for _ in range(3)]
    os.kill(process.pid, signal.SIGKILL)
    said += [int(line) for line in process.communicate()[0].split()]
    there = read_impressions(tmp_path)["request_id"].to_pylist()
    assert len(there) == len(set(there)) in (said[-1], said[-1] + 10)
    assert {f"r{n}" for n in range(said[-1])} <= set(there)
    assert all(pq.ParquetFile(file).metadata.num_rows == 10 for file in tmp_path.glob("impressions/*/*.parquet"))


def test_the_settings_lie_beside_and_an_unknown_experiment_is_said(tmp_path):
    ImpressionLog.open(tmp_path, EXPERIMENT, "/srv/events.sqlite").close()
    folder = experiment_folder(tmp_path, "new-loss")
    assert read_settings(folder) == (EXPERIMENT, "/srv/events.sqlite")
    with pytest.raises(GenrecError, match="no impressions yet"):
        read_impressions(folder)
    with pytest.raises(GenrecError, match="other: not known; there are new-loss"):
        read_settings(experiment_folder(tmp_path, "other"))
