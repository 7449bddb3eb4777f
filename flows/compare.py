"""Several recipes, one table: each runs as a subflow, and stages they share are computed once."""

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow

from flows.interrupts import cancelled_when_stopped, interruptible
from flows.naming import name_from_folder
from flows.publish import publish_comparison
from flows.retrain import retrain
from genrec.config import Config
from genrec.config.load import validate
from genrec.errors import ConfigError
from genrec.redact import without_secrets
from genrec.report.recipes import write_comparison
from genrec.store.local import Store
from genrec.store.remote import local_root, open_store
from tasks.ray.capacity import runs_at_once
from tasks.ray.cluster import staying_connected
from tasks.ray.watch import watcher


@flow(name="compare", flow_run_name=name_from_folder, persist_result=False, validate_parameters=False)
@cancelled_when_stopped
@without_secrets()
def compare(configs: list[dict[str, Any]], run_id: str, seeds: int = 1) -> dict[str, Any]:
    """Run every config with every seed and write comparison.json and comparison.html under runs/<run_id>.

    configs: whole configurations as plain data; `name` says which recipe one is. seeds: runs of each, from its own
    seed upwards. What is stored already is read. Runs go side by side where a cluster has room for several.

    Returns what comparison.json holds, and "html", the page's path.
    """
    runs = with_seeds([validate(config) for config in configs], seeds)
    reports = _run_all(runs, run_id)
    return write_and_publish(reports, configs[0]["store"], run_id)


def write_and_publish(reports: Sequence[dict[str, Any]], store: str, run_id: str) -> dict[str, Any]:
    """Compare finished runs; what `compare` returns. Raises ConfigError when an artifact is not in the store any more."""
    opened = open_store(store)
    comparison = write_comparison(reports, opened.run_path(run_id), artifacts_of(reports, opened))
    publish_comparison(comparison, run_id, opened)
    return comparison


def with_seeds(configs: Sequence[Config], seeds: int) -> list[Config]:
    """Each config with its own seed and the `seeds` - 1 after it. Raises ConfigError for two configs of one name, or of several stores."""
    names = [config.name for config in configs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"two of the configs are called {twice!r}; give each a `name` of its own")
    stores = {local_root(config.store).absolute(): config.store for config in configs}
    if len(stores) > 1:
        raise ConfigError(f"the configs name several stores, {', '.join(stores.values())}; give one with --store")
    from genrec.data.event_rows import up_to_now  # it imports polars

    # All runs of a comparison read the same events, however many come while it runs.
    data = up_to_now([config.data for config in configs])
    configs = [config.model_copy(update={"data": of_it}) for config, of_it in zip(configs, data, strict=True)]
    # All recipes with the first seed, then with the next: a comparison that is stopped is still one of all recipes.
    return [c.model_copy(update={"seed": c.seed + i}) for i in range(seeds) for c in configs]


def artifacts_of(reports: Sequence[dict[str, Any]], store: Store) -> Callable[[str], Path]:
    """The folder of an artifact that the reports name, by its key; fetched and verified.

    It is the one that the report was made of, also where it was refreshed since, as long as that is stored.
    """
    digests = {stage["key"]: stage["digest"] for report in reports for stage in report["stages"]}

    def folder(key: str) -> Path:
        artifact = store.lookup(key, digests[key]) or store.lookup(key)
        if artifact is None:
            raise ConfigError(f"{key}: no longer in the store; run the comparison again")
        return artifact.path

    return folder


def _run_all(runs: Sequence[Config], run_id: str) -> list[dict[str, Any]]:
    at_once = runs_at_once(runs)

    def run(config: Config) -> dict[str, Any]:
        watcher().message(f"{config.name}, seed {config.seed}")
        name = f"{run_id}-{config.name}-seed{config.seed}"
        return retrain(config=config.model_dump(mode="json"), run_id=name)

    with staying_connected():
        if at_once == 1:
            return [run(config) for config in runs]
        return interruptible(partial(_side_by_side, run, runs, at_once))


def _side_by_side(
    run: Callable[[Config], dict[str, Any]], runs: Sequence[Config], at_once: int
) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(at_once) as pool:
        # Each thread works in a copy of this context: there the flow run and the watcher are.
        futures = [pool.submit(contextvars.copy_context().run, run, config) for config in runs]
        return [future.result() for future in futures]
