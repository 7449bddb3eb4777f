"""Settings of Prefect and Ray that must be in the environment before either is imported."""

import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from genrec.errors import GenrecError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def prepare(store: Path, debug: bool = False) -> None:
    """Quiet consoles, no telemetry, no proxy to this machine, and Prefect's own database beside the store unless
    PREFECT_API_URL names a server elsewhere. Raises GenrecError for a store that cannot hold it.
    """
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the classic UI first: the one the forms are tested in
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO" if debug else "CRITICAL",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "RAY_DEDUP_LOGS": "1",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # what tells a dead run from a slow one (flows/serve/automations.py)
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",  # seconds until a run that was asked for in the UI is picked up
        # A run that waits for its turn asks for it each time that the runner looks; once it is taken up, it does not wait on.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
        "PREFECT_CLIENT_MAX_RETRIES": "8",  # a run outlives a restart of its server
    }
    if "PREFECT_API_URL" not in os.environ:
        home = store.absolute() / "prefect"
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GenrecError(f"store {store}: cannot be written ({error.strerror}); choose another --store") from None
        defaults["PREFECT_HOME"] = str(home)
    if debug:
        defaults["GENREC_DEBUG"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    spare_loopback_the_proxy()


def spare_loopback_the_proxy() -> None:
    """Add loopback to NO_PROXY: a proxy reaches another machine's 127.0.0.1, or nothing.

    Both spellings are set, for programs differ in which one they prefer, and child processes inherit them.
    """
    named = ",".join(os.environ.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    hosts = dict.fromkeys(host.strip() for host in named.split(",") if host.strip())
    if "*" not in hosts:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, *_LOOPBACK]))


def check_api(timeout_s: float = 3.0) -> None:
    """Whether a server answers at PREFECT_API_URL, where that is set; one that asks for a password has answered.

    Raises GenrecError naming the URL and what else can be done.
    """
    url = os.environ.get("PREFECT_API_URL")
    if url is None:
        return
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=timeout_s):
            return
    except urllib.error.HTTPError:
        return
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: no URL at all; the last: no HTTP
        reason = getattr(error, "reason", None) or error
        raise GenrecError(
            f"PREFECT_API_URL {url}: no Prefect server answers there ({reason}); start that server, or unset "
            "PREFECT_API_URL to use one that comes with the run"
        ) from None
