"""Events that a run tells Prefect, for automations: those of the project (flows/serve/alerts.py) and of its users."""

from prefect.events import emit_event

from tasks.run import Run

REFUSED = "genrec.promotion.refused"


def tell_refused(run: Run) -> None:
    """Emit the event of a model that was to go into service and did not: barred by a rule, or behind in the comparison."""
    outcome = run.promotion or {}
    if outcome.get("decision") == "refused" or outcome.get("good_enough") is False:
        resource = {"prefect.resource.id": f"genrec.run.{run.run_id}", "prefect.resource.name": run.run_id}
        stays = outcome["in_service"] or "no model"
        emit_event(REFUSED, resource, payload={"why": outcome["why"], "in_service": stays})
