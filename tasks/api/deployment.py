"""The endpoint as a Ray Serve application: the same ASGI application in every replica, each with a model of its own.

Replicas share the store and the database of the events (Postgres, where they are on several machines): each looks there
for another model in service and for changes of the catalogue. A replica that dies is started again; what it was answering
fails, and a client may send that again.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application
from ray.serve.config import HTTPOptions

from genrec.config import ApiConfig, ResourcesConfig
from genrec.config.service import ExperimentConfig
from genrec.errors import GenrecError
from genrec.serve.experiment import Experiment
from tasks.api.opening import Place

APPLICATION = "genrec"
_ALLOWANCE_S = 5.0  # beyond a request's deadline, until Serve itself gives it up
_GRACE_S = 10.0  # for requests that are in progress when a replica is stopped


class Arguments(BaseModel):
    """What a Serve config file gives the application (`args`).

    store, name: as `python -m flows api` takes them. api: settings of the section api. experiment: service.experiment.
    rank: whether lists are ranked, as service.rank; null: as the model's run was set.
    """

    model_config = ConfigDict(extra="forbid")

    store: str
    name: str = ""
    export: str = ""
    rank: bool | None = None
    api: ApiConfig = ApiConfig()
    experiment: ExperimentConfig | None = None


class _Endpoint:
    """A replica: it opens the service of its place, whose model is loaded when the application starts."""

    def __init__(self, place: Place, api: ApiConfig, experiment: Experiment | None) -> None:
        self._opened = (place, api, experiment)

    def __serve_build_asgi_app__(self) -> Any:
        from tasks.api.app import build_app
        from tasks.api.logs import set_up
        from tasks.api.opening import open_service
        from tasks.ray.gpus import check_reserved_gpu

        set_up()
        check_reserved_gpu("api.num_gpus")
        return build_app(open_service(*self._opened))


def options(api: ApiConfig) -> dict[str, Any]:
    """Options of the deployment. The queue is each replica's own (`tasks.api.batching`), which answers 503 when it is full:
    Serve lets as many requests through as it holds.
    """
    return {
        "max_ongoing_requests": api.max_queue + 2 * api.max_batch,
        "max_queued_requests": api.max_queue,
        "autoscaling_config": {
            "min_replicas": api.min_replicas,
            "max_replicas": api.max_replicas,
            "target_ongoing_requests": api.target_requests,
        },
        "ray_actor_options": {"num_cpus": api.num_cpus, "num_gpus": api.num_gpus},
        "graceful_shutdown_timeout_s": _GRACE_S,
    }


def application(arguments: Arguments) -> Application:
    """The application for a Serve config file: `import_path: tasks.api.deployment:application`."""
    place = Place(arguments.store, arguments.name, arguments.export, rank=arguments.rank)
    return bound(place, arguments.api, Experiment.of(arguments.experiment))


def bound(place: Place, api: ApiConfig, experiment: Experiment | None = None) -> Application:
    """The application of a place."""
    deployment = serve.deployment(name="endpoint", **options(api))(serve.ingress()(_Endpoint))
    return deployment.bind(place, api, experiment)


def serve_here(place: Place, api: ApiConfig, experiment: Experiment | None, greet: Callable[[str], None]) -> None:
    """Start Ray here (or join RAY_ADDRESS), serve, and block until SIGINT or SIGTERM; then take it down again."""
    from tasks.ray.cluster import connect, disconnect

    connect(ResourcesConfig())
    stop = threading.Event()
    try:
        timeout = api.deadline_ms / 1000 + _ALLOWANCE_S
        serve.start(
            proxy_location="HeadOnly",
            http_options=HTTPOptions(host=api.host, port=api.port, request_timeout_s=timeout),
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        try:
            serve.run(bound(place, api, experiment), name=APPLICATION)
        except RuntimeError as error:
            raise GenrecError(f"Ray Serve did not bring up the endpoint: {error}") from None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: stop.set())
        greet("behind Ray Serve; GET /health names it")
        stop.wait()
        print("\nstopped", flush=True)
    finally:
        serve.shutdown()
        disconnect()
