"""One box, one command: a Prefect server with its UI on loopback, and the deployments behind it, until Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError


def serve_here(store: Path, port: int) -> None:
    """Start the server, serve the deployments, and take the server down at the end. Blocks.

    Raises GenrecError when the port is taken (another `make serve`, most likely) or the server does not come up.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise GenrecError(
                f"port {port} is taken: genrec may be served already (http://127.0.0.1:{port}); stop that or use --port"
            ) from None
    log = store / "prefect" / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    with open(log, "ab") as sink:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            stdout=sink,
            stderr=sink,
            start_new_session=True,  # Ctrl-C reaches the deployments first, the server goes down after them
        )
    try:
        _wait_until_healthy(server, port, log)
        from prefect import serve

        from flows.deployments import train

        deployment: Any = train.to_deployment(name="retrain", tags=["genrec"], concurrency_limit=1)
        print(f"Prefect UI  http://127.0.0.1:{port}   deployment train/retrain   Ctrl-C stops everything", flush=True)
        serve(deployment, print_starting_message=False, pause_on_shutdown=False)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait_until_healthy(server: subprocess.Popen, port: int, log: Path, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise GenrecError(f"the Prefect server did not come up; its log is {log}")
