"""Start a program that ends with its parent: `python -m flows.serve.launch <parent> <program> ...`.

The request to the kernel is made by the child itself and outlives its `exec`. A `preexec_fn` would make it between
fork and exec, where Python code may wait without end for a lock that another thread of the parent held.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def ends_with_this_process(command: list[str]) -> list[str]:
    """The command line that runs `command` under this launcher; its first word is a path."""
    return [sys.executable, "-m", "flows.serve.launch", str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    """Become `command`; it gets SIGTERM when the thread of `parent` that started this process ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before the request
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
