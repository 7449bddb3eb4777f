"""Events that a run tells Prefect, for automations: those of the project (flows/serve/alerts.py) and of its users."""

from prefect.events import emit_event

from tasks.run import Run

REFUSED = "genrec.promotion.refused"


def tell_refused(run: Run) -> None:
    """Emit the event of a promotion that was refused, when the comparison of this run ended so."""
    outcome = run.promotion or {}
    if outcome.get("good_enough") is False:
        resource = {"prefect.resource.id": f"genrec.run.{run.run_id}", "prefect.resource.name": run.run_id}
        emit_event(REFUSED, resource, payload={"why": outcome["why"], "in_service": outcome["in_service"]})
