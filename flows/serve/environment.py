"""Settings of Prefect and Ray that must be in the environment before either is imported."""

import os
from pathlib import Path


def prepare(store: Path, debug: bool = False) -> None:
    """Quiet consoles, no telemetry, and Prefect's own database beside the store unless one is configured."""
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
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds until a run that was asked for in the UI is picked up
        # A run that waits for its turn asks for it each time that the runner looks; once it is taken up, it does not wait on.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
        "PREFECT_CLIENT_MAX_RETRIES": "8",  # a run outlives a restart of its server
    }
    if "PREFECT_API_URL" not in os.environ:
        home = store.absolute() / "prefect"
        home.mkdir(parents=True, exist_ok=True)
        defaults["PREFECT_HOME"] = str(home)
    if debug:
        defaults["GENREC_DEBUG"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
