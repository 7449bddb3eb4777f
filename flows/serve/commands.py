"""What the commands about the Prefect server do: say how to log in, set up alerts."""

import os
from pathlib import Path

from rich.console import Console

from flows.serve import environment
from flows.serve.credentials import known_auth_string
from flows.serve.server import api, served
from flows.stores import named
from genrec.errors import GenrecError
from genrec.store.remote import local_root


def show_login(out: Console, store: str | None) -> None:
    """Where the UI is, and the line to paste there. Raises GenrecError where no password was made yet."""
    home = _home(store)
    line = known_auth_string(home)
    out.print(f"Prefect UI   {served(home) or 'not up: make serve starts it'}", soft_wrap=True)
    out.print(f"login        {line}", soft_wrap=True)


def set_alerts(out: Console, store: str | None, off: bool) -> None:
    """Send a trial message, then put alerts on the server: of PREFECT_API_URL, else of the store. `off`: remove them.

    Raises GenrecError when there is no address, or when the trial message does not get through.
    """
    address = os.environ.pop("GENREC_ALERTS_URL", "")
    if not (address or off):
        raise GenrecError(
            "GENREC_ALERTS_URL is not set; set it to a webhook (https://...) or mailtos://user:password@..."
        )
    home = _home(store)
    environment.prepare(home.parent)
    with api(home) as server:
        from flows.serve import alerts

        if server:
            server.wait_until_healthy()
        if off:
            alerts.remove()
            out.print("alerts are off")
        else:
            alerts.send_trial(alerts.block_for(address))
            alerts.install(address)
            out.print("alerts are on; a trial message was sent", soft_wrap=True)


def _home(store: str | None) -> Path:
    return local_root(named(store)) / "prefect"
