"""The Prefect server and its deployments, and the model in service."""

import os
from typing import Annotated

import typer

from flows.commands.app import Debug, Store, app
from flows.serve import environment
from flows.session import out, short_errors
from flows.stores import named
from genrec.errors import GenrecError
from genrec.store.remote import is_url, local_root


@app.command()
def serve(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port of the Prefect server, on this machine only.")
    ] = 4200,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Bring up the Prefect UI with the pipeline as a deployment; Ctrl-C takes all of it down."""
    with short_errors(debug):
        place = named(store)
        root = local_root(place)
        environment.prepare(root, debug=True)
        from flows.serve.serve import serve_here

        serve_here(root, port, place if is_url(place) else None)


@app.command()
def login(store: Store = None, debug: Debug = False) -> None:
    """Print the line to paste into the login page of the Prefect UI, and where the UI is while `serve` is up."""
    with short_errors(debug):
        from flows.serve.commands import show_login

        show_login(out, store)


@app.command()
def alerts(
    off: Annotated[bool, typer.Option("--off", help="Take the alerts off the server again.")] = False,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Send failed nightlies, unusable data and refused promotions to the address in GENREC_ALERTS_URL; tries it once."""
    with short_errors(debug):
        from flows.serve.commands import set_alerts

        set_alerts(out, store, off)


@app.command()
def deploy(
    pool: Annotated[
        str, typer.Option("--pool", help="Work pool of type process; made where it is missing.")
    ] = "genrec",
    debug: Debug = False,
) -> None:
    """Put the deployments on a work pool of the Prefect server at PREFECT_API_URL, for Prefect workers elsewhere."""
    with short_errors(debug):
        if "PREFECT_API_URL" not in os.environ:
            raise GenrecError("PREFECT_API_URL is not set; set it to the server's address, or use serve on one machine")
        environment.spare_loopback_the_proxy()
        environment.check_api()
        from flows.serve.deploy import deploy as put_on_pool

        for line in put_on_pool(pool):
            out.print(line, soft_wrap=True)


@app.command()
def current(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Name of the runs, such as demo; where there are several.")
    ] = "",
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Show which model is in service, where its files are, and what was there before."""
    from flows.in_service import show

    with short_errors(debug):
        show(out, name, store)


@app.command()
def promote(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Run id, or `latest`.")],
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Put the model of a finished run in service, without a comparison (service.promote makes one)."""
    from flows.in_service import promote_run

    with short_errors(debug):
        promote_run(out, run_name, store)


@app.command()
def rollback(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Name of the runs, such as demo; where there are several.")
    ] = "",
    to: Annotated[int, typer.Option("--to", help="Number of the change to go back to; 0: the one before.")] = 0,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Put the model back in service that was there before."""
    from flows.in_service import go_back

    with short_errors(debug):
        go_back(out, name, to, store)
