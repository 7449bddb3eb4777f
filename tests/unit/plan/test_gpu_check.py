"""The part of `make gpu-check` that compares a plan with a device."""

import pytest
import torch

from genrec.bf16 import computes_bf16
from tests.bench.gpu_check import plan
from tests.bench.gpu_check.models import SHAPES
from tests.bench.gpu_check.table import lines


@pytest.mark.skipif(not computes_bf16(torch.device("cpu")), reason="this CPU would emulate bfloat16")
def test_the_plan_of_a_small_model_is_what_the_cpu_takes():
    cases = []
    plan.run(SHAPES["tiny"], torch.device("cpu"), cases.append)
    assert {case["case"]: case["passed"] for case in cases} == dict.fromkeys(
        ("fine-tuning, LoRA", "GRPO update", "beam"), True
    )
    assert all(case["plan_gib"] > 0 for case in cases)
    assert "planned" in "\n".join(lines({"plan": {"failed": None, "seconds": 1.0, "cases": cases}}))
