"""Each part in a process of its own, forked from one that has torch and transformers loaded: that takes ten seconds or more,
and a dozen parts would take it each.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_TAIL = 1500  # characters of what a part printed, for one that failed


def forking() -> Any:
    """The context whose processes are forked so. The first one waits until everything is loaded."""
    # Asked through NVML, a GPU is not initialised, which no fork survives.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.bench.gpu_check.parts"])
    return context


def in_own_process(context: Any, name: str, arguments: tuple[Any, ...], limit_s: float) -> dict[str, Any]:
    """`parts.run_part` of part `name` with `arguments`: {failed, seconds, cases}; `failed` says why it did not reach its
    end, with the end of what it printed.
    """
    start = time.monotonic()
    if limit_s <= 0:
        return {"failed": "no time was left for it", "seconds": 0.0, "cases": []}
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "result.json", Path(folder) / "log"
        process = context.Process(target=_in_session, args=(log, name, *arguments, result))
        process.start()
        process.join(limit_s)
        failed = None
        if process.exitcode is None:
            _kill(process)
            failed = f"stopped after {limit_s:.0f} s"
        elif process.exitcode:
            tail = log.read_text(errors="replace")[-_TAIL:] if log.is_file() else ""
            failed = f"exit status {process.exitcode}: {tail}"
        cases = json.loads(result.read_text()) if result.is_file() else []
    return {"failed": failed, "seconds": time.monotonic() - start, "cases": cases}


def _in_session(log: Path, *arguments: Any) -> None:
    """In the forked process: a session of its own, to be ended with all that it starts; what it prints goes to `log`."""
    os.setsid()
    output = os.open(log, os.O_CREAT | os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    from tests.bench.gpu_check.parts import run_part

    run_part(*arguments)


def _kill(process: Any) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # not yet a session of its own
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
