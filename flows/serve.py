"""One box, one command: a Prefect server with its UI on loopback, and the deployments behind it, until Ctrl-C."""

import socket
from pathlib import Path
from typing import Any

from flows.server import Server
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
    server = Server(store / "prefect", port)
    try:
        from prefect import serve

        from flows.deployments import train

        deployment: Any = train.to_deployment(name="retrain", tags=["genrec"], concurrency_limit=1)
        server.wait_until_healthy()
        print(f"Prefect UI  {server.url}   deployment train/retrain   Ctrl-C stops everything", flush=True)
        serve(deployment, print_starting_message=False, pause_on_shutdown=False)
    finally:
        server.stop()
