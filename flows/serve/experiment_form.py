"""The form that reports who wins an experiment."""

import os

from prefect import get_run_logger
from prefect.states import Completed, State

from flows.experiment import publish
from flows.serve.form import CHOOSE, form
from flows.serve.forms import EventLogPlace, ExperimentName


@form("experiment", flow_run_name="experiment {name}", gone={})
def experiment(name: ExperimentName = CHOOSE, events: EventLogPlace = "") -> State[None]:
    """Report who wins an experiment of the endpoint, by an interval that allows looking every day."""
    report = publish(name, os.environ.get("GENREC_STORE"), events)
    for line in (*report["warnings"], report["words"]):
        get_run_logger().info(line)
    return Completed(message=report["words"])
