"""What can be started from the Prefect UI, defined once: each flow is a form (flows/serve/forms.py) around the pipeline."""

import json
import os
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.flows import EntrypointType
from prefect.schedules import Schedule

from flows import recipes
from flows.compare import with_seeds, write_and_publish
from flows.live import shown_in_prefect
from flows.naming import name_flow_run
from flows.publish import publish_report
from flows.retrain import pipeline
from flows.serve.forms import (
    AS_IN_PRESET,
    CONF,
    AgainAlthoughStored,
    BeamWidth,
    DataPath,
    Epochs,
    Preset,
    Promote,
    Recipe,
    Recipes,
    Refresh,
    Resamples,
    RlSteps,
    Seed,
    Seeds,
    SeenItems,
    Settings,
    Source,
    TakeOver,
    Until,
    form,
    settings_of,
)
from genrec.config import Config
from genrec.store.remote import open_store

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

TAG = "genrec"
NIGHTLY_CRON, NIGHTLY_TIME_ZONE = "0 3 * * *", "Europe/Berlin"


def _config(preset: str, recipe: str, fields: list[str], settings: list[str]) -> Config:
    store = os.environ.get("GENREC_STORE")
    return recipes.apply(
        recipe, [CONF / f"{preset}.yaml"], [*fields, *settings, *([f"store={json.dumps(store)}"] if store else [])]
    )


@form("retrain")
def retrain(
    preset: Preset = "demo",
    data_source: Source = AS_IN_PRESET,
    data_path: DataPath = "",
    recipe: Recipe = "default",
    seed: Seed = 0,
    sft_epochs: Epochs = 0,
    rl_steps: RlSteps = -1,
    take_over: TakeOver = [],  # noqa: B006  (read only; the form shows an empty list)
    promote: Promote = True,
    refresh: Refresh = [],  # noqa: B006
    until: Until = "evaluate",
    settings: Settings = [],  # noqa: B006
) -> None:
    """Train and evaluate a recommender; stages whose data and settings did not change come from the store."""
    fields = settings_of(
        seed=seed,
        data__source=data_source,
        data__path=data_path,
        sft__epochs=sft_epochs or None,
        rl__num_steps=rl_steps if rl_steps >= 0 else None,
        service__keep=take_over or None,
        service__promote="if_not_worse" if promote else None,
    )
    config = _config(preset, recipe, fields, settings)
    _run_and_publish(config, recipe, refresh=frozenset(refresh), until=until)


@form("compare-recipes")
def compare_recipes(
    preset: Preset = "demo",
    data_source: Source = AS_IN_PRESET,
    data_path: DataPath = "",
    recipes: Recipes = ["default", "supervised-only"],  # noqa: B006
    seed: Seed = 0,
    seeds: Seeds = 1,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Train by several recipes on the same data, stages they share once, and compare the results."""
    fields = settings_of(seed=seed, data__source=data_source, data__path=data_path)
    together, reports = name_flow_run(_config(preset, "default", fields, settings), *recipes), []
    configs = [_config(preset, recipe, [*fields, f"name={recipe}"], settings) for recipe in recipes]
    for config in with_seeds(configs, seeds):
        with shown_in_prefect():
            reports.append(pipeline(config, f"{together}-{config.name}-seed{config.seed}"))
    write_and_publish(reports, config.store, together)


@form("evaluate-only")
def evaluate_only(
    preset: Preset = "demo",
    data_source: Source = AS_IN_PRESET,
    data_path: DataPath = "",
    recipe: Recipe = "default",
    seed: Seed = 0,
    beam_width: BeamWidth = 0,
    seen_items: SeenItems = AS_IN_PRESET,
    num_bootstrap: Resamples = 0,
    refresh_evaluation: AgainAlthoughStored = False,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Measure again a model that retrain has trained with the same preset, recipe, seed and settings."""
    fields = settings_of(
        seed=seed,
        data__source=data_source,
        data__path=data_path,
        evaluate__beam_width=beam_width or None,
        evaluate__seen_items=seen_items,
        evaluate__num_bootstrap=num_bootstrap or None,
    )
    config = _config(preset, recipe, fields, settings)
    refresh = frozenset({"evaluate"} if refresh_evaluation else ())
    _run_and_publish(config, recipe, refresh=refresh, compute=frozenset({"baselines", "evaluate"}))


@form("embed-only")
def embed_only(
    preset: Preset = "demo",
    data_source: Source = AS_IN_PRESET,
    data_path: DataPath = "",
    refresh: Refresh = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
) -> None:
    """Read the data and compute the item vectors, so that a later retrain finds them ready."""
    config = _config(preset, "default", settings_of(data__source=data_source, data__path=data_path), settings)
    _run_and_publish(config, "default", refresh=frozenset(refresh), until="embed")


def _run_and_publish(config: Config, recipe: str, **arguments: Any) -> None:
    with shown_in_prefect():
        report = pipeline(config, name_flow_run(config, recipe), **arguments)
    publish_report(report, open_store(config.store))


def deployments() -> list["RunnerDeployment"]:
    """Every deployment. At most one run of each at a time; the next one waits in line."""
    nightly = Schedule(cron=NIGHTLY_CRON, timezone=NIGHTLY_TIME_ZONE, active=False, slug="nightly")
    return [
        _deployment(retrain, "retrain"),
        _deployment(
            retrain,
            "retrain-nightly",
            schedule=nightly,
            parameters={"take_over": ["vectors", "ids"], "promote": True},
            description="retrain every night: new files are read, known items keep their ids, and the model takes the "
            "place of the one in service unless it is worse beyond chance. The schedule ships switched off: turn it on at the right, "
            "and set the parameters of the schedule to your data.",
        ),
        _deployment(compare_recipes, "compare-recipes"),
        _deployment(evaluate_only, "evaluate-only"),
        _deployment(embed_only, "embed-only"),
    ]


def _deployment(what: Any, name: str, **more: Any) -> "RunnerDeployment":
    return what.to_deployment(
        name=name,
        tags=[TAG],
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        entrypoint_type=EntrypointType.MODULE_PATH,
        **more,
    )
