"""The deployments on a work pool, for Prefect workers on other machines; `serve` does without."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from flows.serve.automations import HEARTBEAT_S, install
from flows.serve.definitions import apply
from flows.serve.deployments import deployments
from genrec.errors import GenrecError


def deploy(pool: str) -> list[str]:
    """Make the work pool where it is missing, put every deployment on it, and install the automation for dead runs.

    Returns lines that say what was done. Raises GenrecError for a pool of another type than process.
    """
    with get_client(sync_client=True) as client:
        try:
            work_pool = client.read_work_pool(pool)
        except ObjectNotFound:
            work_pool = client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    if work_pool.type != "process":
        raise GenrecError(f"work pool {pool!r} is of type {work_pool.type}; name one of type process, or a new one")
    wanted, notes = deployments(), []
    for deployment in wanted:
        # Without heartbeats the automation would take every run for dead.
        deployment.job_variables = {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}}
        deployment.work_pool_name = pool
        notes += apply(deployment, lambda ready: ready.apply())
    install()
    return [
        *notes,
        f"deployments  {', '.join(deployment.name for deployment in wanted)}",
        f"start a Prefect worker with: prefect worker start --pool {pool}",
    ]
