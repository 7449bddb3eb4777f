"""Recommendations out: lists, the endpoint and its experiments, exported models."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.app import Debug, Set, Store, app
from flows.serve import environment
from flows.session import out, print_recommendations, run_recommend, settings_alone, short_errors
from flows.stores import check_there, named
from genrec.paths import expanded
from genrec.store.remote import local_root


@app.command()
def recommend(
    run_name: Annotated[
        str, typer.Option("--run", metavar="RUN", help=r"Run id, or `latest` \[default: the model in service].")
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="Name of the model in service, such as demo; where there are several.")
    ] = "",
    users: Annotated[
        Path | None,
        typer.Option(
            "--users", help=r"Parquet or CSV with a column user_id, or text with an id a line \[default: all]."
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help=r"Items of a list, at most \[default: as configured].")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to copy the lists to, as Parquet.")
    ] = None,
    events_of: Annotated[
        str, typer.Option("--events-of", metavar="RUN", help=r"The run whose events are read \[default: the model's].")
    ] = "",
    overrides: Set = None,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Make lists for every customer, as Parquet, by the model in service or that of a run."""
    with short_errors(debug):
        given = {"recommend.users": users, "recommend.k": k, "recommend.out": folder}
        fields = {
            setting: value if setting == "recommend.k" else str(value) for setting, value in given.items() if value
        }
        check_there(store)  # before Prefect's folder is made in it
        environment.prepare(local_root(named(store)), debug)
        environment.check_api()
        print_recommendations(
            run_recommend(
                run=run_name, name=name, events_of=events_of, store=store, fields=fields, settings=overrides or []
            )
        )


@app.command()
def api(
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="YAML file with a section api; may be repeated."),
    ] = None,
    overrides: Set = None,
    store: Store = None,
    name: Annotated[str, typer.Option("--name", help="Name of the model in service, where there are several.")] = "",
    export: Annotated[
        Path | None, typer.Option("--export", help="Serve the model of this folder, which `export` wrote.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help=r"Port \[default: api.port, 8000].")
    ] = None,
    beside: Annotated[
        str, typer.Option("--beside", help="A run, or an exported folder, whose model the page compares with it.")
    ] = "",
    debug: Debug = False,
) -> None:
    """Answer recommendations over HTTP with the model in service (else the latest run's), until Ctrl-C."""
    with short_errors(debug):
        from flows.api import start

        start(out, settings_alone(config or [], overrides, store), name, export, port, beside)


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment (service.experiment.name).")],
    events: Annotated[
        str, typer.Option("--events", help=r"Event log to read \[default: the one that the endpoint wrote].")
    ] = "",
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Report who wins an experiment of the endpoint, by an interval that allows looking every day."""
    with short_errors(debug):
        from flows.experiment import show

        show(out, name, store, events)


@app.command()
def export(
    run_name: Annotated[
        str, typer.Argument(metavar="RUN", help="Run id, `latest`, or the name of a model in service, such as demo.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; it must be new or empty.")],
    force: Annotated[bool, typer.Option("--force", help="Put it in the place of an older export.")] = False,
    rank: Annotated[
        bool | None,
        typer.Option("--rank/--no-rank", help=r"With the ranking of its lists, or without \[default: service.rank]."),
    ] = None,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Write a trained model to a folder of its own, which genrec.Recommender loads on any machine."""
    with short_errors(debug):
        from flows.export import export as export_model

        export_model(out, run_name, Path(expanded(str(folder))), force, store, rank)
