"""A web server on loopback that keeps what is posted to it, in place of Slack or another receiver of alerts."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`url` to post to; `got`: the JSON of every request; `status`: what it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        keep = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                keep.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(keep.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/canary"


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    up = Receiver()
    threading.Thread(target=up.server.serve_forever, daemon=True).start()
    try:
        yield up
    finally:
        up.server.shutdown()
        up.server.server_close()
