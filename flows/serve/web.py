"""The Prefect server with its services and UI, and the reports of a store on the same port behind the same login.

python -m flows.serve.web --port 4200 --reports <store>/runs     with PREFECT_SERVER_API_AUTH_STRING=user:password

It is what `prefect server start` runs (prefect/cli/_server_utils.py, `_run_in_foreground`): the same application in one
process, with every service that the settings enable, and some routes before those of the UI.
"""

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from genrec.errors import GenrecError

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(reports: Path | None) -> "FastAPI":
    """Prefect's application, with the reports of the folder `reports` under /reports.

    Raises GenrecError when no password is set.
    """
    from prefect.server.api.server import create_app as prefect_app
    from prefect.settings import get_current_settings

    import flows.serve.alerts  # noqa: F401  (its kind of address, so that the server can send to one)
    from flows.serve.first_page import explain_login
    from flows.serve.report_pages import report_routes

    settings = get_current_settings().server
    if settings.api.auth_string is None:
        raise GenrecError("PREFECT_SERVER_API_AUTH_STRING is not set; set it to user:password")
    app = prefect_app(final=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines hold the addresses that alerts are sent to
    if settings.ui.static_directory:
        explain_login(Path(settings.ui.static_directory))
    if reports:
        app.router.routes[:0] = report_routes(reports, settings.api.auth_string.get_secret_value())
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the Prefect server until stopped.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--reports", type=Path, help="folder with the reports to show: runs/ of a store")
    asked = parser.parse_args()
    os.environ["PREFECT_SERVER_API_HOST"] = asked.host
    os.environ.setdefault("PREFECT_SERVER_UI_API_URL", "/api")  # the same under whatever address a browser came
    os.environ.setdefault("PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT", "false")

    import uvicorn
    from prefect.settings import get_current_settings

    from flows.serve.database import one_writer

    one_writer()
    app, settings = create_app(asked.reports), get_current_settings().server
    uvicorn.run(
        app,
        host=asked.host,
        port=asked.port,
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
    )


if __name__ == "__main__":
    main()
