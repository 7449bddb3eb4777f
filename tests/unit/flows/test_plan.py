"""The command `plan`, on a model of one small layer."""

import json

import pytest
from typer.testing import CliRunner

import flows.__main__ as main
from flows.plan import rows
from genrec.config.load import load_config
from genrec.plan.gpus import GIB
from tests.e2e.conftest import ROOT, TINY

DEMO = ["plan", "--config", str(ROOT / "conf" / "demo.yaml"), "--config", str(TINY)]


@pytest.fixture(scope="module")
def planned():
    done = CliRunner().invoke(main.app, [*DEMO, "--users", "100", "--items", "60", "--history", "5", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_every_stage_has_its_memory_arithmetic_time_and_gpus(planned):
    assert [stage["name"] for stage in planned["stages"]] == ["sft", "rl", "evaluate"]
    assert "embed" in planned["without_model"]
    assert planned["work"] == {"users": 100, "items": 60, "history": 5, "text_tokens": 128}
    for stage in planned["stages"]:
        assert list(stage["fits"]) == ["24", "40", "80", "141"]
        assert all(part["operations"] > 0 and part["seconds"] > 0 and part["tokens"] > 0 for part in stage["parts"])
        for process in stage["processes"]:
            assert sum(process["kinds_bytes"].values()) == process["peak_bytes"] > 0
    assert planned["stages"][1]["processes"][1]["name"] == "rollout"
    assert planned["warnings"] == []


def test_tokens_are_those_of_the_steps_that_training_takes(planned):
    config = load_config([ROOT / "conf" / "demo.yaml", TINY])
    steps = config.sft.epochs * -(-100 // config.sft.batch_size)
    (training, _) = planned["stages"][0]["parts"]
    assert training["tokens"] == steps * config.sft.batch_size * (1 + 6 - 1 + 6 * 2)


def test_a_table_has_a_row_for_every_plan(planned):
    table = rows([planned, planned])
    assert len(table) == 4
    assert {line.count("|") for line in table} == {8}
    assert "yes / yes / yes / yes" in table[2]
    small = {**planned, "stages": [{**s, "fits": {80: {"processes": 4}}} for s in planned["stages"]]}
    assert "| 4 processes |" in rows([small])[2]
    assert GIB == 2**30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "64"], "--gpu 64: no GPU of that memory is known; known: 24, 40, 80, 141 (GB)"),
        (["--mfu", "trainig=0.5"], "--mfu: write PART=SHARE with a part of search, training"),
        (["--mfu", "training=2"], "--mfu training: a share between 0 and 1 is meant"),
        (["--users", "0"], "--users is 0; 1 or more is meant"),
        (["--set", "sft.epohs=2"], "did you mean epochs?"),
        (["--items", "99999999"], "--items is 99,999,999, more than sid.num_levels and sid.num_codes give ids (32^3)"),
        (["--run", "nosuch", "--store", "/nonexistent"], "no finished run yet"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments, message):
    done = CliRunner().invoke(main.app, [*DEMO, *arguments])
    assert done.exit_code in (1, 2)
    assert message in " ".join(done.output.split())
