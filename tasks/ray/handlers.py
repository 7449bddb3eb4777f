"""SIGTERM keeps its handler when Ray starts.

Ray's C++ code installs one for fatal signals (`absl::InstallFailureSignalHandler`), SIGTERM among them: it prints a stack,
calls the handler before it, and sets an alarm that aborts the process after 3 s (status -6), in the middle of its
ending in good order. Imports no Prefect: Ray's worker processes import what imports this.
"""

import contextlib
import ctypes
import signal
from collections.abc import Iterator

# Of Python's C API (os_signal): unlike `signal.signal` they may be called in any thread.
_get, _set = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
_get.argtypes, _get.restype = [ctypes.c_int], ctypes.c_void_p
_set.argtypes, _set.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p


@contextlib.contextmanager
def keeps_sigterm() -> Iterator[None]:
    """After the block SIGTERM has the handler of before, whoever installed another one inside."""
    before = _get(signal.SIGTERM)
    try:
        yield
    finally:
        _set(signal.SIGTERM, before)
