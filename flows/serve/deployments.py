"""What can be started from the Prefect UI, defined once: each flow is a form (flows/serve/form.py) around the pipeline."""

import json
import os
from typing import TYPE_CHECKING, Any, cast

from prefect import get_run_logger
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.flows import EntrypointType
from prefect.schedules import Schedule
from prefect.states import Completed, State

from flows import recipes as ways
from flows.compare import with_seeds, write_and_publish
from flows.decision import name_by_change, say_in_name
from flows.live import shown_in_prefect
from flows.measure_again import COMPUTED, config_and_artifacts
from flows.naming import name_flow_run
from flows.publish import publish_report
from flows.retrain import pipeline
from flows.run_names import without_time
from flows.serve.experiment_form import experiment
from flows.serve.form import CHOOSE, Form, form
from flows.serve.forms import (
    AS_CHOSEN,
    DATA,
    PROMOTE,
    AgainAlthoughStored,
    BeamWidth,
    Change,
    Data,
    DataPath,
    Epochs,
    EventLogPlace,
    Promote,
    Recipe,
    Recipes,
    RecommendAfter,
    Refresh,
    Resamples,
    RlSteps,
    RunName,
    RunOrInService,
    Seed,
    Seeds,
    SeenItems,
    ServiceName,
    Settings,
    Size,
    TakeOver,
    Until,
    overrides_of,
    settings_of,
)
from flows.serve.recommend_form import recommend
from flows.service_changes import in_words, put_in_service, take_back
from genrec.config import Config
from genrec.in_service.registry import Record
from genrec.store.remote import open_store
from tasks.checks import check_outside
from tasks.ray.cluster import staying_connected

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

TAG = "genrec"
NIGHTLY_CRON, NIGHTLY_TIME_ZONE = "0 3 * * *", "Europe/Berlin"
NIGHTLY = "every night at 03:00 (Europe/Berlin)"


def _config(data: str, recipe: str, fields: dict[str, Any], settings: list[str]) -> Config:
    """Raises GenrecError for settings that contradict each other, and for data that is not there."""
    files, chosen = DATA[data]
    store = _store()
    overrides = [*chosen, *overrides_of(fields, settings), *([f"store={json.dumps(store)}"] if store else [])]
    return ways.apply(recipe, files, overrides, early=check_outside)


@form("retrain")
def retrain(
    data: Data = "demo",
    data_path: DataPath = "",
    size: Size = "full",
    recipe: Recipe = "default",
    seed: Seed = 0,
    promote: Promote = "no",
    take_over: TakeOver = [],  # noqa: B006  (read only; the form shows an empty list)
    sft_epochs: Epochs = 0,
    rl_steps: RlSteps = -1,
    until: Until = "evaluate",
    refresh: Refresh = [],  # noqa: B006
    events: EventLogPlace = "",
    settings: Settings = [],  # noqa: B006
    preset: Any = None,
    data_source: Any = None,
) -> None:
    """Train and evaluate a recommender; stages whose data and settings did not change come from the store."""
    fields = settings_of(
        seed=seed or None,
        preset=size if size != "full" else None,
        data__path=data_path,
        data__events=events,
        sft__epochs=sft_epochs or None,
        rl__num_steps=rl_steps if rl_steps >= 0 else None,
        service__keep=take_over or None,
        service__promote=PROMOTE[promote],
    )
    config = _config(data, recipe, fields, settings)
    _run_and_publish(config, recipe, refresh=frozenset(refresh), until=until)


@form("retrain")
def retrain_nightly(
    data: Data = CHOOSE,
    data_path: DataPath = "",
    events: EventLogPlace = "",
    promote: Promote = CHOOSE,
    take_over: TakeOver = ["vectors", "ids"],  # noqa: B006
    recommend: RecommendAfter = False,
    size: Size = "full",
    recipe: Recipe = "default",
    seed: Seed = 0,
    settings: Settings = [],  # noqa: B006
    preset: Any = None,
    data_source: Any = None,
) -> State[None] | None:
    """Retrain by a schedule on data that was chosen for it, keeping what is known of texts and items."""
    if recommend:
        overrides_of({"service.recommend": True}, settings)  # refuses contradictions
        settings = [*settings, "service.recommend=true"]
    return retrain.fn(  # its state, where it was stopped
        data=data,
        data_path=data_path,
        events=events,
        size=size,
        recipe=recipe,
        seed=seed,
        promote=promote,
        take_over=take_over,
        settings=settings,
    )


@form("compare-recipes")
def compare_recipes(
    data: Data = "demo",
    data_path: DataPath = "",
    size: Size = "full",
    recipes: Recipes = ["default", "supervised-only"],  # noqa: B006
    seed: Seed = 0,
    seeds: Seeds = 1,
    settings: Settings = [],  # noqa: B006
    preset: Any = None,
    data_source: Any = None,
) -> None:
    """Train by several recipes on the same data, stages they share once, and compare the results."""
    fields = settings_of(seed=seed or None, preset=size if size != "full" else None, data__path=data_path)
    together, reports = name_flow_run(_config(data, "default", fields, settings), *recipes), []
    configs = [_config(data, recipe, {**fields, "name": recipe}, settings) for recipe in recipes]
    with staying_connected():
        for config in with_seeds(configs, seeds):
            with shown_in_prefect():
                reports.append(pipeline(config, f"{together}-{config.name}-seed{config.seed}"))
    write_and_publish(reports, config.store, together)


_OF_RUN = {
    name: f"{name} is gone: run names the run that is measured, with its own settings"
    for name in ("preset", "data_source", "data_path", "recipe", "seed")
}


@form("evaluate-only", gone=_OF_RUN)
def evaluate_only(
    run: RunOrInService = "",
    name: ServiceName = "",
    beam_width: BeamWidth = 0,
    seen_items: SeenItems = AS_CHOSEN,
    num_bootstrap: Resamples = 0,
    refresh_evaluation: AgainAlthoughStored = False,
    settings: Settings = [],  # noqa: B006
    preset: Any = None,
    data_source: Any = None,
    data_path: Any = None,
    recipe: Any = None,
    seed: Any = None,
) -> None:
    """Measure again the model in service, or that of a finished run, with the settings it was trained with."""
    fields = settings_of(
        evaluate__beam_width=beam_width or None,
        evaluate__seen_items=seen_items,
        evaluate__num_bootstrap=num_bootstrap or None,
    )
    overrides_of(fields, settings)  # refuses contradictions
    config, artifacts = config_and_artifacts(run, name, _store(), fields, settings)
    refresh = frozenset({"evaluate"} if refresh_evaluation else ())
    called = f"evaluate-{without_time(run) if run else name or 'in-service'}"
    _run_and_publish(config, name=called, refresh=refresh, compute=frozenset(COMPUTED), given=artifacts)


@form("embed-only")
def embed_only(
    data: Data = "demo",
    data_path: DataPath = "",
    refresh: Refresh = [],  # noqa: B006
    settings: Settings = [],  # noqa: B006
    preset: Any = None,
    data_source: Any = None,
) -> None:
    """Read the data and compute the item vectors, so that a later retrain finds them ready."""
    config = _config(data, "default", settings_of(data__path=data_path), settings)
    _run_and_publish(config, "default", refresh=frozenset(refresh), until="embed")


@form("promote", flow_run_name="promote", gone={})
def promote_run(run: RunName = CHOOSE) -> State[None]:
    """Put the model of a finished run in service, without a comparison; roll-back takes it back."""
    return _changed(*put_in_service(run, _store()))


@form("roll-back", flow_run_name="roll back", gone={})
def roll_back(name: ServiceName = "", to: Change = 0) -> State[None]:
    """Put the model back in service that was there before, or that of an earlier change."""
    return _changed(*take_back(name, to, _store()))


def _changed(name: str, record: Record) -> State[None]:
    said = in_words(name, record)
    get_run_logger().info(said)
    name_by_change(record)
    return Completed(message=said)


def _store() -> str | None:
    return os.environ.get("GENREC_STORE")


def _run_and_publish(config: Config, *recipes: str, name: str = "", **arguments: Any) -> None:
    with shown_in_prefect():
        report = pipeline(config, name_flow_run(config, *recipes, name=name), **arguments)
    publish_report(report, open_store(config.store))
    say_in_name(report)


def deployments() -> list["RunnerDeployment"]:
    """Every deployment. At most one run of each at a time; the next one waits in line."""
    nightly = Schedule(cron=NIGHTLY_CRON, timezone=NIGHTLY_TIME_ZONE, active=False, slug=NIGHTLY)
    explained = f"\n\nRecipes:\n\n{ways.in_lines()}\n"
    return [
        _deployment(retrain, "retrain", description=f"{retrain.description}{explained}"),
        _deployment(
            retrain_nightly,
            "retrain-nightly",
            schedule=nightly,
            description=f"Retrain {NIGHTLY}: new files and events are read and known items keep their ids; with the field recommend, "
            "lists for every customer follow. The schedule ships switched "
            "off and trains on nothing by itself: first set the fields data and promote, in the parameters of the schedule "
            f"or of the deployment, then turn it on at the right.{explained}",
        ),
        _deployment(compare_recipes, "compare-recipes", description=f"{compare_recipes.description}{explained}"),
        _deployment(recommend, "recommend"),
        _deployment(evaluate_only, "evaluate-only"),
        _deployment(embed_only, "embed-only"),
        _deployment(experiment, "experiment"),
        _deployment(promote_run, "promote"),
        _deployment(roll_back, "roll-back"),
    ]


def _deployment(what: Form, name: str, **more: Any) -> "RunnerDeployment":
    made = cast(
        "RunnerDeployment",
        what.to_deployment(
            name=name,
            tags=[TAG],
            concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
            entrypoint_type=EntrypointType.MODULE_PATH,
            **more,
        ),
    )  # a coroutine where there is an event loop only
    made._parameter_openapi_schema = what.schema
    return made
