"""The parts by name, and one of them run in this process.

The process that forks the others imports this module, so that torch and transformers are loaded once for all: nothing
here may touch a GPU before a part runs.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.bench.gpu_check import attention, correctness, figures, measure, plan, searching, serve
from tests.bench.gpu_check.models import SHAPES, Shape

Report = Callable[[dict[str, Any]], None]
Part = Callable[[Shape, torch.device, Report], None]


def _device(_: Shape, device: torch.device, report: Report) -> None:
    report({"case": "versions", **measure.versions(device)})
    report({"case": "matrix product", "tflops": measure.matrix_rate(device) / 1e12})
    report({"case": "copy", "gb_per_s": measure.copy_rate(device) / 1e9})


PARTS: dict[str, Part] = {
    "device": _device,
    "attention": attention.run,
    "correctness": correctness.run,
    "compiled search": correctness.run_compiled_search,
    "compiled step": correctness.run_compiled_step,
    "compiled division": correctness.run_compiled_division,
    "beam": searching.run,
    "sft": figures.sft,
    "grpo": figures.grpo,
    "embed": figures.embed,
    "serve": serve.run,
    "plan": plan.run,
}


def run_part(name: str, shape: str, profiles: bool, device: str | None, result: Path) -> None:
    """One part; `result` holds what it reported so far, as a JSON list."""
    cases: list[dict[str, Any]] = []

    def report(case: dict[str, Any]) -> None:
        cases.append(case)
        partial = result.with_suffix(".partial")
        partial.write_text(json.dumps(cases))
        partial.replace(result)

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.set_num_threads(1)  # what the host computes is small, parts run side by side, and threads would wait in turn
    PARTS[name](replace(SHAPES[shape], profiles=profiles), where, report)
