"""Reports over HTTP on loopback, so that the Prefect UI can link to them: reports, comparisons and plots only."""

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


@contextlib.contextmanager
def report_pages(runs: Path, port: int) -> Iterator[str]:
    """Serve the reports below `runs` for the time of the block; yields their address."""
    runs.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Reports, directory=str(runs)))
    threading.Thread(target=server.serve_forever, name="report-pages", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
