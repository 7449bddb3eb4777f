"""One machine, one command: a Prefect server with its UI on loopback, and the deployments it runs, until Ctrl-C.

This process only watches over two others, each in a session of its own so that Ctrl-C reaches none but this one: the
server (flows/serve/server.py) and the runner (flows/serve/runner.py). One that dies is started again; at the end the
runner is stopped first, with its runs, then the server.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from flows.serve.credentials import shown_by
from flows.serve.launch import ends_with_this_process
from flows.serve.processes import adopt_orphans, descendants, end, reap
from flows.serve.report_pages import PREFIX
from flows.serve.server import Server, is_free, only_one
from flows.serve.server_log import keep_small
from genrec.errors import GenrecError

_LOOK_EVERY_S = 0.5
_PATIENCE_S = 40.0
_TRIES = 3  # a server or runner that dies this often within a minute is not started again


def serve_here(store: Path, port: int, url: str | None = None) -> None:
    """Start the server, serve the deployments, and at the end take down all of it, runs included. Blocks.

    `store` is a folder, or the folder that stages the store at `url` on this machine. Raises GenrecError when this
    store is served already, when the port is taken, or when a process does not stay up.
    """
    home = store.absolute() / "prefect"
    with only_one(home, f"http://127.0.0.1:{port}"):
        if not is_free(port):
            raise GenrecError(f"port {port} is taken by another program: stop that or pass another --port")
        os.environ["GENREC_STORE"] = url or str(store.absolute())
        os.environ["GENREC_REPORTS_URL"] = PREFIX  # on the server's own port: links work through any forwarded port
        adopt_orphans()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        server, runner = Server(home, port, reports=store.absolute() / "runs"), None
        try:
            server.wait_until_healthy()
            _greet(server, shown_by(url or str(store)))
            runner = _start_runner()
            _watch_over(server, runner)
        except KeyboardInterrupt:
            print("\nstopping", flush=True)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)  # it may be sent twice, by `make` and by the user
            if runner:
                end([child for child in descendants(os.getpid()) if child == runner[0].pid], _PATIENCE_S)
            server.stop()
            end(descendants(os.getpid()), 2.0)
            reap()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _greet(server: Server, shown_by: str) -> None:
    print(f"Prefect UI   {server.url}")
    if server.auth_is_new:
        print(f"login        {server.auth}   (paste all of it; `{shown_by}` prints it again)")
    else:
        print(f"login        `{shown_by}` prints what to paste")
    sys.stdout.flush()


def _start_runner() -> list[subprocess.Popen]:
    command = ends_with_this_process([sys.executable, "-m", "flows.serve.runner"])
    return [subprocess.Popen(command, start_new_session=True)]


def _watch_over(server: Server, runner: list[subprocess.Popen]) -> None:
    """Start a process again that died, until interrupted. Raises GenrecError for one that does not stay up."""
    deaths: list[float] = []
    while True:
        time.sleep(_LOOK_EVERY_S)
        keep_small(server.log)
        dead = [name for name, p in (("server", server.process), ("runner", runner[0])) if p.poll() is not None]
        if not dead:
            continue
        deaths = [d for d in deaths if time.monotonic() - d < 60] + [time.monotonic()]
        if len(deaths) > _TRIES:
            raise GenrecError(f"the Prefect {dead[0]} does not stay up; the server's log is {server.log}")
        print(f"the Prefect {dead[0]} died; starting it again", flush=True)
        if "server" in dead:
            server.start()
            with contextlib.suppress(GenrecError):
                server.wait_until_healthy()
        else:
            kept = {server.process.pid, *descendants(server.process.pid)}
            end([p for p in descendants(os.getpid()) if p not in kept], 2.0)  # its runs, adopted when it died
            runner[:] = _start_runner()
