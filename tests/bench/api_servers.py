"""Servers under measurement: started as processes of their own, pinned to a core, ended; their memory and CPU time."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

_START_S, _STOP_S = 120, 20
TOKEN = "token-of-the-bench"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(core: int | None) -> list[str]:
    """Start of a command that runs on one core; None: on all."""
    return [] if core is None else ["taskset", "--cpu-list", str(core)]


def python(module: str, *arguments: Any, core: int | None = None) -> list[str]:
    """A command that runs a module with this interpreter."""
    return [*pinned(core), sys.executable, "-m", module, *map(str, arguments)]


def environment() -> dict[str, str]:
    """One thread a process, and the bench's token for the endpoint."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "GENREC_API_TOKEN": TOKEN}


class Server:
    """A server that runs, with its children."""

    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        self._process = psutil.Process(pid)

    def cpu_s(self) -> float:
        """CPU time so far, of all its processes."""
        return sum(sum(process.cpu_times()[:2]) for process in self._all())

    def memory_mib(self) -> float:
        """Resident memory of all its processes."""
        return sum(process.memory_info().rss for process in self._all()) / 2**20

    def get(self, path: str) -> str:
        """The text of a page of the endpoint."""
        return self._asked(path, None)

    def post(self, path: str, body: dict[str, Any]) -> str:
        """The answer to a JSON request."""
        return self._asked(path, json.dumps(body).encode())

    def _asked(self, path: str, body: bytes | None) -> str:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode()

    def _all(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path, ask: bytes | None = None) -> Iterator[tuple[Server, float]]:
    """A server, once it answers, and the seconds from its start to that answer; it is ended behind the block.

    `ask` is a request that has to get a 200; without one, a connection is enough.
    """
    started = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(list(command), stdout=out, stderr=subprocess.STDOUT, env=environment())
        try:
            _wait_for_answer(process, port, log, ask)
            yield Server(process.pid, port), time.perf_counter() - started
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_answer(process: subprocess.Popen[bytes], port: int, log: Path, ask: bytes | None) -> None:
    end = time.perf_counter() + _START_S
    while time.perf_counter() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()[-2000:]}")
        if _answers(port, ask):
            return
        time.sleep(0.01)
    raise RuntimeError(f"no answer within {_START_S} s: {log.read_text()[-2000:]}")


def _answers(port: int, ask: bytes | None) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            if ask is None:
                return True
            connection.sendall(ask)
            return connection.recv(12).endswith(b" 200")
    except OSError:
        return False


class Memory:
    """Resident memory of a server, looked at again and again while the block runs."""

    def __init__(self, server: Server, every_s: float) -> None:
        self._server, self._every_s = server, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seconds: list[float] = []
        self.mib: list[float] = []

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        start = time.perf_counter()
        while True:
            self.seconds.append(time.perf_counter() - start)
            self.mib.append(self._server.memory_mib())
            if self._over.wait(self._every_s):
                return


def slope_a_minute(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Least-squares slope, per minute, over the second half of a time series."""
    half = len(values) // 2
    return 60 * float(np.polyfit(seconds[half:], values[half:], 1)[0])
