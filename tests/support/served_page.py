"""The endpoint with its page, on a port of its own in a thread of the test process, with tiny models."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from tasks.api.app import build_app
from tests.support.api_tiny import Shelf, api_service


@contextlib.contextmanager
def served_page(folder: Path, source: Shelf, beside: Shelf | None = None) -> Iterator[str]:
    """The endpoint's address while it answers; its token is that of `tests.support.api_tiny`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = api_service(folder, source, beside, deadline_ms=60_000)
        server = uvicorn.Server(uvicorn.Config(build_app(service), log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(60)
