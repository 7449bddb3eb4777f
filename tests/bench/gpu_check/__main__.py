"""Run the parts one after the other, each in a process of its own, and print what they found."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.gpu_check import processes
from tests.bench.gpu_check.table import lines

LIMITS_S = {  # of each part, in the order of the report
    "device": 60,  # with what is loaded for all
    "correctness": 110,
    "compiled search": 120,
    "compiled step": 120,
    "compiled division": 120,
    "plan": 110,
    "beam": 85,
    "sft": 130,
    "grpo": 110,
    "embed": 35,
    "serve": 80,
    "attention": 50,
}
LIMIT_S = 470  # of all of them
# Parts that measure no time: they run side by side, first.
UNTIMED = frozenset({"correctness", "plan", "compiled search", "compiled step", "compiled division"})


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 where a part failed or a case is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu_check", description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="folder of gpu_check.json; default: $OUT, else here")
    parser.add_argument("--shape", default="3b", choices=("3b", "tiny"), help="size of the models: 3b is Qwen2.5-3B")
    parser.add_argument("--only", nargs="+", choices=LIMITS_S, default=list(LIMITS_S), help="parts to run")
    parser.add_argument("--device", default=None, help="cuda or cpu; default: the GPU where there is one")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for all parts together")
    parser.add_argument("--profiles", action="store_true", help="also say which kernels take the time of the figures")
    options = parser.parse_args(arguments)
    out = options.out or Path(os.environ.get("OUT", "."))
    out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.limit
    context = processes.forking()
    done: dict[str, dict[str, Any]] = {}

    def run(names: Sequence[str]) -> None:
        """Run some parts side by side, and write what there is then, in the order that was asked for."""
        given = (options.shape, options.profiles, options.device)

        def one(name: str) -> dict[str, Any]:
            limit_s = min(LIMITS_S[name], deadline - time.monotonic())
            return processes.in_own_process(context, name, given, limit_s)

        with ThreadPoolExecutor(max(1, len(names))) as threads:
            done.update(zip(names, threads.map(one, names), strict=True))
        parts = {name: done[name] for name in options.only if name in done}
        text = json.dumps({"shape": options.shape, "parts": parts}, indent=1)
        (out / "gpu_check.json").write_text(text + "\n", encoding="utf-8")

    first = [name for name in options.only if name == "device"]
    for names in (first, [name for name in options.only if name in UNTIMED]):
        run(names)
    for name in options.only:
        if name not in UNTIMED and name not in first:
            run([name])
    parts = {name: done[name] for name in options.only}
    print("\n".join(lines(parts)), flush=True)
    return int(any(part["failed"] for part in parts.values()) or any(_is_wrong(part) for part in parts.values()))


def _is_wrong(part: dict[str, Any]) -> bool:
    return any(case.get("passed") is False for case in part["cases"])


if __name__ == "__main__":
    sys.exit(main())
