"""The process that starts the runs of the deployments; a child of `serve` (flows/serve/serve.py) in a session of its own.

On SIGTERM it ends the runs first, while the server can still be told, and then itself.
"""

import asyncio
import contextlib
import logging
import os
import signal
from typing import Any

from prefect.runner import Runner

from flows.serve import alerts
from flows.serve.automations import crash_abandoned_runs, install
from flows.serve.definitions import apply
from flows.serve.deployments import TAG, deployments
from flows.serve.processes import adopt_orphans, children, descendants, end
from genrec.store.remote import open_store
from tasks.in_service_artifact import bring_up_to_date

_PATIENCE_S = 35.0  # a run that is stopped has this long to start Ray, if it is at that, and to report its end
_RUNS_AT_ONCE = 2


class EndsItsRuns(Runner):
    """Ends its runs before itself. Prefect's runner kills them, and the server would show them as running."""

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end(children(os.getpid()), _PATIENCE_S)
        end(descendants(os.getpid()), 2.0)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # no errors about connections to the runs that ended
        raise KeyboardInterrupt


def main() -> None:
    logging.getLogger("prefect.runner.state_proposer").setLevel(logging.WARNING)  # each look at a run that waits
    adopt_orphans()
    wanted = deployments()
    install()
    for note in alerts.install_from_environment():
        print(note)
    crash_abandoned_runs(TAG)
    bring_up_to_date(open_store(os.environ["GENREC_STORE"]))
    runner = EndsItsRuns(pause_on_shutdown=False, limit=_RUNS_AT_ONCE)
    for deployment in wanted:
        for note in apply(deployment, runner.add_deployment):
            print(note)
    print(f"deployments  {', '.join(d.name for d in wanted)}")
    print("Ctrl-C stops everything; finished stages and checkpoints are kept", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(runner.start())


if __name__ == "__main__":
    main()
