import json
from dataclasses import replace

import pytest
import torch

from genrec.bf16 import computes_bf16
from genrec.config import RlConfig, SftConfig
from tests.bench.gpu_check import __main__ as command
from tests.bench.gpu_check import attention, correctness, figures, searching, settings
from tests.bench.gpu_check.models import SHAPES
from tests.bench.gpu_check.table import lines

CPU = torch.device("cpu")
HAS_BF16 = pytest.mark.skipif(not computes_bf16(CPU), reason="this CPU would emulate bfloat16")


PARTS = {"beam": searching.run, "sft": figures.sft, "grpo": figures.grpo, "embed": figures.embed}


@pytest.mark.parametrize("part", [pytest.param(part, marks=HAS_BF16 if part == "sft" else ()) for part in PARTS])
def test_a_figure_is_measured_and_profiled_on_a_small_shape(part):
    cases = []
    PARTS[part](replace(SHAPES["tiny"], profiles=True), CPU, cases.append)
    measured = [case for case in cases if "profile" not in case]
    assert [case["case"] for case in measured if case["seconds"] <= 0] == []
    assert all(case["profile"]["top"] for case in cases if "profile" in case)
    assert json.loads(json.dumps(cases)) == cases
    text = lines({part: {"failed": None, "seconds": 1.0, "cases": cases}})
    assert sum(case["case"] in line for case in cases for line in text) >= len(cases)


@HAS_BF16
def test_the_cpu_equals_itself_in_float32_and_bfloat16_is_within_its_rounding():
    cases = []
    correctness.run(SHAPES["tiny"], CPU, cases.append)
    assert {case["case"]: case for case in cases if case["passed"] is False} == {}
    exact = [case["error"] for case in cases if case["case"].endswith("fp32")]
    assert exact == [0.0] * 4
    rounded = [case["error"] for case in cases if case["case"].endswith("bf16")]
    assert min(rounded) > 0


def test_every_way_to_attend_gives_what_a_plain_softmax_does():
    cases = []
    attention.run(SHAPES["tiny"], CPU, cases.append)
    assert {case["case"] for case in cases if case.get("failed") or not case["error"] < 1e-5} == set()
    assert len(cases) == 4 * len(attention.WAYS) - 2


def test_the_measured_settings_are_those_of_the_typed_config():
    for plain, config in ((settings.SFT, SftConfig), (settings.RL, RlConfig)):
        typed = config.model_validate(plain).model_dump()
        for name, value in plain.items():
            if name not in ("rewards", "options"):
                wanted = typed[name]
                assert (_same_keys(wanted, value) if isinstance(value, dict) else wanted) == value, name


def _same_keys(typed: dict, plain: dict) -> dict:
    """The typed values of what is written; options left out are the variant's own defaults."""
    return {key: plain[key] if key == "options" else typed[key] for key in plain}


def test_a_part_that_fails_or_takes_too_long_is_told_and_the_others_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "LIMITS_S", {"beam": 0.01, "sft": 60, "grpo": -1})
    asked = ["--only", "beam", "sft", "grpo", "--shape", "tiny", "--device", "abacus"]
    assert command.main([*asked, "--out", str(tmp_path)]) == 1
    told = json.loads((tmp_path / "gpu_check.json").read_text())["parts"]
    assert list(told) == ["beam", "sft", "grpo"]
    assert told["beam"]["failed"] == "stopped after 0 s"
    assert told["sft"]["failed"].startswith("exit status 1")
    assert "abacus" in told["sft"]["failed"]
    assert told["grpo"]["failed"] == "no time was left for it"
    assert "FAILED: exit status 1" in capsys.readouterr().out
