"""Run the parts one after the other, each in a process of its own, and print what they found."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.gpu_check.table import lines

LIMITS_S = {  # of each part, in the order of the report
    "device": 40,
    "correctness": 110,
    "compiled": 120,
    "plan": 110,
    "beam": 85,
    "sft": 105,
    "grpo": 110,
    "embed": 35,
    "serve": 80,
    "attention": 50,
}
LIMIT_S = 470  # of all of them
UNTIMED = frozenset({"correctness", "plan", "compiled"})  # parts that measure no time: they run side by side, first


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 where a part failed or a case is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu_check", description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="folder of gpu_check.json; default: $OUT, else here")
    parser.add_argument("--shape", default="3b", help="size of the models: 3b (Qwen2.5-3B) or tiny")
    parser.add_argument("--only", nargs="+", choices=LIMITS_S, default=list(LIMITS_S), help="parts to run")
    parser.add_argument("--device", default=None, help="cuda or cpu; default: the GPU where there is one")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for all parts together")
    parser.add_argument("--part", choices=LIMITS_S, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        run_part(options.part, options.shape, options.device, options.result)
        return 0
    out = options.out or Path(os.environ.get("OUT", "."))
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.limit
    done: dict[str, dict[str, Any]] = {}

    def run(names: Sequence[str]) -> None:
        """Run some parts side by side, and write what there is then, in the order that was asked for."""
        with ThreadPoolExecutor(max(1, len(names))) as threads:
            limits = [min(LIMITS_S[name], deadline - time.monotonic()) for name in names]
            done.update(zip(names, threads.map(in_own_process, names, [options] * len(names), limits), strict=True))
        parts = {name: done[name] for name in options.only if name in done}
        text = json.dumps({"shape": options.shape, "parts": parts}, indent=1)
        (out / "gpu_check.json").write_text(text + "\n", encoding="utf-8")

    run([name for name in options.only if name in UNTIMED])
    for name in options.only:
        if name not in UNTIMED:
            run([name])
    parts = {name: done[name] for name in options.only}
    print("\n".join(lines(parts)), flush=True)
    return int(any(part["failed"] for part in parts.values()) or any(_is_wrong(part) for part in parts.values()))


def _is_wrong(part: dict[str, Any]) -> bool:
    return any(case.get("passed") is False for case in part["cases"])


def in_own_process(name: str, options: argparse.Namespace, limit_s: float) -> dict[str, Any]:
    """{failed, seconds, cases}: `failed` says why a part did not reach its end, with the end of what it printed."""
    start = time.monotonic()
    if limit_s <= 0:
        return {"failed": "no time was left for it", "seconds": 0.0, "cases": []}
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log"
        command = [sys.executable, "-m", "tests.bench.gpu_check", "--part", name, "--shape", options.shape]
        command += ["--result", str(result), *(["--device", options.device] if options.device else [])]
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
            try:
                status: int | None = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                status = None
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        tail = log.read_text(errors="replace")[-1500:]
        failed = None
        if status is None:
            failed = f"stopped after {limit_s:.0f} s"
        elif status:
            failed = f"exit status {status}: {tail}"
        cases = json.loads(result.read_text()) if result.is_file() else []
    return {"failed": failed, "seconds": time.monotonic() - start, "cases": cases}


def run_part(name: str, shape: str, device: str | None, result: Path) -> None:
    """One part; `result` holds what it reported so far, as a JSON list."""
    import torch

    from tests.bench.gpu_check import attention, correctness, figures, measure, plan, searching, serve
    from tests.bench.gpu_check.models import SHAPES

    def device_itself(_: Any, device: torch.device, report: Callable[[dict[str, Any]], None]) -> None:
        report({"case": "versions", **measure.versions(device)})
        report({"case": "matrix product", "tflops": measure.matrix_rate(device) / 1e12})
        report({"case": "copy", "gb_per_s": measure.copy_rate(device) / 1e9})

    runs = {
        "device": device_itself,
        "attention": attention.run,
        "correctness": correctness.run,
        "compiled": correctness.run_compiled,
        "beam": searching.run,
        "sft": figures.sft,
        "grpo": figures.grpo,
        "embed": figures.embed,
        "serve": serve.run,
        "plan": plan.run,
    }
    cases: list[dict[str, Any]] = []

    def report(case: dict[str, Any]) -> None:
        cases.append(case)
        partial = result.with_suffix(".partial")
        partial.write_text(json.dumps(cases))
        partial.replace(result)

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    runs[name](SHAPES[shape], where, report)


if __name__ == "__main__":
    sys.exit(main())
