"""The endpoint as one process: HTTP by uvicorn, batching and search beside it, until Ctrl-C.

CPU time of a request of the shop's model, 64 at a time on two cores: 1.05 ms here, 0.8 of them the bare search; 8.8 ms behind
Ray Serve (its proxy 2.8, its controller 1.9, the replica 4.0, whose batches are smaller). So one machine does without it.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from types import FrameType

from tasks.api.app import build_app
from tasks.api.logs import set_up
from tasks.api.service import Service

_KEEP_ALIVE_S = 75  # proxies keep an idle connection for a minute: they end it first, and no request meets its end
_GRACE_S = 10  # for requests that are in progress when the endpoint is stopped


def serve(service: Service, host: str, port: int, ready: Callable[[Service], None]) -> None:
    """Answer until SIGINT or SIGTERM; `ready` is called once the model is loaded. Raises what loading the model raises."""
    import uvicorn

    async def run() -> None:
        async with service.running():
            gc.collect()
            gc.freeze()  # the catalogue is millions of objects that live on: no collection walks through them
            ready(service)
            await server.serve()

    set_up()
    app = build_app(service)
    config = uvicorn.Config(
        app, host=host, port=port, lifespan="off", access_log=False, log_config=None, server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=_GRACE_S, ws="none",
    )  # fmt: skip
    server = uvicorn.Server(config)
    signal.signal(signal.SIGTERM, _interrupt)  # uvicorn raises the signal again when it has stopped
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())
    except KeyboardInterrupt:
        print("\nstopped", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
