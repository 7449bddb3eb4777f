"""A Prefect server as a child process: for the time of one command, or for `serve` until Ctrl-C.

Ours rather than Prefect's own temporary server, because it comes up while the imports run (a cached run is mostly
start-up), keeps the history of runs beside the store, asks for a password, and dies with its parent even when that
is killed.
"""

import contextlib
import fcntl
import json
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

from flows.serve.credentials import auth_string
from flows.serve.launch import ends_with_this_process
from genrec.errors import GenrecError

_CLIENT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class Server:
    """A server on loopback with its database and log under `home`; the environment names it from now on."""

    def __init__(self, home: Path, port: int) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home, self.log, self.port = home, home / "server.log", port
        self.url = f"http://127.0.0.1:{port}"
        self.auth, self.auth_is_new = auth_string(home)
        os.environ.update(dict(zip(_CLIENT, (f"{self.url}/api", self.auth), strict=True)))
        self.start()

    def start(self) -> None:
        """Start the process; once more after it died. Does not wait until it answers."""
        with open(self.log, "ab") as sink:
            self.process = subprocess.Popen(
                ends_with_this_process(
                    [
                        sys.executable,
                        "-m",
                        "flows.serve.prefect",
                        "server",
                        "start",
                        "--host",
                        "127.0.0.1",
                        "--port",
                        str(self.port),
                    ]
                ),
                stdout=sink,
                stderr=sink,
                env={
                    **os.environ,
                    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
                    "PREFECT_SERVER_API_AUTH_STRING": self.auth,
                },
                start_new_session=True,  # Ctrl-C reaches the command alone, which then stops the server
            )

    def wait_until_healthy(self, timeout_s: float = 300) -> None:
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
def only_one(home: Path, url: str) -> Iterator[None]:
    """Be the one `serve` of a store. Raises GenrecError, naming the other, where there is one already.

    A lock of the kernel: it is gone when its holder is, however that ended.
    """
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "serve.lock", "a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = _read(home)
            raise GenrecError(
                f"this store is served already: {other.get('url', '')} (process {other.get('pid', 'unknown')}); "
                "open that, or stop it with Ctrl-C there"
            ) from None
        handle.truncate(0)
        handle.write(json.dumps({"url": url, "pid": os.getpid()}))
        handle.flush()
        yield


def served(home: Path) -> str | None:
    """The address of the server that a `serve` of this store keeps up at the moment."""
    try:
        with open(home / "serve.lock") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _read(home).get("url")
    return None


def _read(home: Path) -> dict[str, str]:
    try:
        return json.loads((home / "serve.lock").read_text())
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def api(home: Path) -> Iterator[Server | None]:
    """The Prefect API of the environment or of a running `serve` (then None), or a server of our own for the block.

    Enter it before the slow imports: the server starts beside them. Call `wait_until_healthy` before the first flow.
    """
    if "PREFECT_API_URL" in os.environ:
        yield None
        return
    server = None
    url = served(home)
    if url:
        os.environ.update(dict(zip(_CLIENT, (f"{url}/api", auth_string(home)[0]), strict=True)))
    else:
        server = Server(home, free_port())
    try:
        yield server
    finally:
        _send_what_is_queued()
        if server:
            server.stop()
        for name in _CLIENT:
            os.environ.pop(name, None)


def _send_what_is_queued() -> None:
    """Deliver Prefect's logs and events while there is a server: at exit they would wait a minute for one."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogHandler

        APILogHandler().flush()
        EventsWorker.drain_all(timeout=5)
