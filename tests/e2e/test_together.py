"""Two runs of one fresh store at once, in surroundings that programs of this kind fail in."""

import json
import subprocess

import pytest

from tests.e2e.conftest import ROOT, tiny_command
from tests.support.served import clean_environment


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_runs_fired_at_once_compute_every_stage_once_between_them(tmp_path):
    store = tmp_path / "store [1] *"  # for paths are no patterns
    long = tmp_path / ("long" * 30)
    long.mkdir()
    surroundings = clean_environment(
        HTTP_PROXY="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9",  # nothing listens there
        TMPDIR=str(long),  # no socket has a name of that length
        HOME="/dev/null/nowhere",
    )  # fmt: skip
    runs = [
        subprocess.Popen(
            tiny_command(store, "--until", "sid"), cwd=ROOT, env=surroundings, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]  # fmt: skip
    outputs = [run.communicate(timeout=1200)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    reports = [json.loads(p.read_text()) for p in (store / "runs").glob("2*/report.json")]
    assert len(reports) == 2
    for first, second in zip(*(report["stages"] for report in reports), strict=True):
        assert {first["status"], second["status"]} == {"computed", "cached"}, first["name"]
        assert first["digest"] == second["digest"]
    assert any("another run computes it; waiting" in output for output in outputs)
