"""Reports over HTTP on loopback, so that the Prefect UI can link to them: reports, comparisons and plots only.

`serve` does this by itself. In a container: python -m flows.serve.report_pages <store>/runs --host 0.0.0.0 --port 4201
"""

import argparse
import contextlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_SHOWN = re.compile(r"(report|comparison)\.(html|json)|plot-[a-z0-9-]+\.svg")


class _Reports(SimpleHTTPRequestHandler):
    """GET and HEAD of <run-id>/<a file that is shown>; no listing, nothing else, no log."""

    def send_head(self) -> Any:
        asked, root = Path(self.translate_path(self.path)), Path(self.directory).resolve()
        parts = asked.resolve().relative_to(root).parts if asked.resolve().is_relative_to(root) else ()
        if len(parts) != 2 or not _SHOWN.fullmatch(parts[1]):  # resolved: a link never leads out of the folder
            self.send_error(404)
            return None
        return super().send_head()

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _server(runs: Path, host: str, port: int) -> ThreadingHTTPServer:
    runs.mkdir(parents=True, exist_ok=True)
    return ThreadingHTTPServer((host, port), partial(_Reports, directory=str(runs)))


@contextlib.contextmanager
def report_pages(runs: Path, port: int) -> Iterator[str]:
    """Serve the reports below `runs` for the time of the block; yields their address."""
    server = _server(runs, "127.0.0.1", port)
    threading.Thread(target=server.serve_forever, name="report-pages", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the reports of a store until stopped.")
    parser.add_argument("runs", type=Path, help="the folder runs/ of the store")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4201)
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        _server(asked.runs, asked.host, asked.port).serve_forever()
