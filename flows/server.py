"""A Prefect server as a child process: for the time of one command, or for `serve` until Ctrl-C.

Ours rather than Prefect's own temporary server, because it comes up while the imports run (a cached run is mostly
start-up), keeps the history of runs beside the store, and dies with its parent even when that is killed.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from genrec.errors import GenrecError

_PR_SET_PDEATHSIG = 1  # Linux, prctl(2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server on loopback with its database and log under `home`; `PREFECT_API_URL` names it from now on."""

    def __init__(self, home: Path, port: int) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.log, self.port = home / "server.log", port
        self.url = f"http://127.0.0.1:{port}"
        os.environ["PREFECT_API_URL"] = f"{self.url}/api"
        with open(self.log, "ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
                stdout=sink,
                stderr=sink,
                env={**os.environ, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"},
                start_new_session=True,  # Ctrl-C is for the command in front; the server goes down after it
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def wait_until_healthy(self, timeout_s: float = 120) -> None:
        """Raises GenrecError when the server does not answer in time, with the place of its log."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api/health", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise GenrecError(f"the Prefect server on port {self.port} did not come up; its log is {self.log}")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@contextlib.contextmanager
def api(home: Path) -> Iterator[Server | None]:
    """The configured Prefect API (then None), or a server of our own for the time of the block.

    Enter it before the slow imports: the server starts beside them. Call `wait_until_healthy` before the first flow.
    """
    if "PREFECT_API_URL" in os.environ:
        yield None
        return
    server = Server(home, free_port())
    try:
        yield server
    finally:
        _send_what_is_queued()
        server.stop()
        os.environ.pop("PREFECT_API_URL", None)


def _send_what_is_queued() -> None:
    """Deliver Prefect's logs and events while there is a server: at exit they would wait a minute for one."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogHandler

        APILogHandler().flush()
        EventsWorker.drain_all(timeout=5)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
