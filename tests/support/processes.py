"""Forked processes joined in one gloo group: data-parallel training without Ray, fast enough for every test run."""

import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch


def in_processes(meeting: Path, function: Callable[[], object], num_processes: int = 2) -> list[int]:
    """Call `function` in every process of a group; exit codes by rank. When one fails, the others are ended.

    `meeting` is a file that does not exist yet.
    """
    context = multiprocessing.get_context("fork")  # they find torch and transformers imported
    started = [
        context.Process(target=_run, args=(meeting, rank, num_processes, function)) for rank in range(num_processes)
    ]
    for process in started:
        process.start()
    while any(process.is_alive() for process in started) and not any(process.exitcode for process in started):
        time.sleep(0.02)
    if any(process.exitcode for process in started):
        for process in started:
            process.kill()
    for process in started:
        process.join()
    return [int(process.exitcode or 0) for process in started]


def _run(meeting: Path, rank: int, num_processes: int, function: Callable[[], object]) -> None:
    """The life of a child. It leaves by `os._exit`: exit hooks of the parent (Prefect's wait for threads that a fork
    does not copy) would end it with 1 whatever it did."""
    code = 1
    try:
        torch.set_num_threads(1)
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_processes
        )
        function()
        torch.distributed.destroy_process_group()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
