"""What `python -m flows api` does: one endpoint on this machine, until Ctrl-C."""

import shlex
from pathlib import Path

from rich.console import Console

from flows.serve import environment
from flows.serve.server import is_free, only_one
from genrec.config import Config
from genrec.errors import GenrecError


def start(out: Console, config: Config, name: str, export: Path | None, port: int | None, beside: str) -> None:
    """Serve the model in service (or that of the latest run, or of an exported folder) over HTTP. Blocks.

    `beside` is the id of a run, or an exported folder, whose model the page compares with that one; "" for none.

    Raises GenrecError where there is no model, where another endpoint serves the store, or where the port is taken.
    """
    from genrec.serve.experiment import Experiment
    from tasks.api.opening import Place, resolved, token_file, token_of

    api = config.api if port is None else config.api.model_copy(update={"port": port})
    place = Place(config.store, name, str(export.absolute()) if export else "", beside, config.service.rank)
    experiment = Experiment.of(config.service.experiment)
    if experiment is not None and beside:
        raise GenrecError(
            "--beside and service.experiment each name a model beside the one in service; give one of them"
        )
    environment.spare_loopback_the_proxy()
    place = resolved(place)  # before a folder is made in a store that is none
    url = f"http://{api.host}:{api.port}"
    with only_one(place.home, url):
        if not is_free(api.port):
            raise GenrecError(f"port {api.port} is taken by another program: stop that or pass another --port")
        token, is_new = token_of(place)

        def greet(model: str) -> None:
            out.print(f"endpoint     {url}   (schema: {url}/docs)", soft_wrap=True, markup=False)
            out.print(f"model        {model}", soft_wrap=True, markup=False)
            if is_new:
                out.print(f"token        {token}   (kept in {token_file(place)})", soft_wrap=True, markup=False)
            else:
                out.print(f"token        in {shlex.quote(str(token_file(place)))}", soft_wrap=True, markup=False)

        if api.server == "ray":
            from tasks.api.deployment import serve_here

            serve_here(place, api, experiment, greet)
        else:
            from tasks.api.opening import open_service
            from tasks.api.process import serve

            serve(
                open_service(place, api, experiment), api.host, api.port, lambda s: greet(s.live.snapshot.loaded.where)
            )
