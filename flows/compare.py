"""Several configs, one table: each runs as a subflow, and stages they share are computed once."""

from typing import Any

from prefect import flow

from flows.retrain import retrain
from genrec.evaluate.compare import write_comparison
from genrec.remote_store import open_store


@flow(name="compare", flow_run_name="{run_id}", persist_result=False, validate_parameters=False)
def compare(configs: list[dict[str, Any]], run_id: str) -> dict[str, Any]:
    """Run every config (what is cached is read) and write comparison.json and comparison.html under runs/<run_id>.

    Returns {"columns", "rows", "html"}.
    """
    reports = [retrain(config=config, run_id=f"{run_id}-{i}-{config['name']}") for i, config in enumerate(configs)]
    folder = open_store(configs[0]["store"]).run_path(run_id)
    return write_comparison(reports, folder)
