"""The command line: `python -m flows --help`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.finished import finished_report
from flows.run_names import check_name, recipe_of
from flows.serve import environment
from flows.session import (
    checked_config,
    compare_configs,
    out,
    print_comparison,
    print_recommendations,
    print_report,
    run_flow,
    run_recommend,
    settings_alone,
    short_errors,
)
from flows.stores import named
from genrec.errors import GenrecError
from genrec.paths import expanded
from genrec.redact import redact
from genrec.store.remote import is_url, local_root
from tasks.run import check_stage, stages_to_refresh


class _Commands(TyperGroup):
    """Commands whose usage errors do not repeat a secret that was typed in the wrong place."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            error.message = redact(error.message)
            raise


app = typer.Typer(
    cls=_Commands,
    help="genrec: from raw reviews to a generative recommender.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", metavar="a.b=c", help="Override one setting; may be repeated. conf/README.md lists all."
    ),
]
_Store = Annotated[
    str | None, typer.Option("--store", help="Folder or URL (s3://...) of artifacts and reports [default: .genrec].")
]
_Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the logs of Prefect and Ray.")]
_EXAMPLES = """
Examples:

  python -m flows run --config conf/demo.yaml

  python -m flows run --config conf/table.yaml --set data.path=shop/ --set sft.epochs=10

  python -m flows run --config conf/demo.yaml --from-stage sft      (train again, keep what is before)

  python -m flows run --config conf/demo.yaml --until sid           (semantic ids and their quality only)
"""


@app.command(epilog=_EXAMPLES.replace("\n\n  ", "\n\n"))
def run(
    config: Annotated[
        list[Path],
        typer.Option("--config", "-c", help="YAML file; may be repeated: later files override earlier ones."),
    ],
    overrides: _Set = None,
    from_stage: Annotated[
        str | None, typer.Option("--from-stage", help="Recompute this stage and all after it, cached or not.")
    ] = None,
    refresh: Annotated[
        list[str] | None, typer.Option("--refresh", help="Recompute this stage even when cached; may be repeated.")
    ] = None,
    refresh_elsewhere: Annotated[
        bool,
        typer.Option(
            "--refresh-elsewhere",
            help="Recompute stages whose result was made on another CPU or GPU, or with other threads or "
            "library versions.",
        ),
    ] = False,
    until: Annotated[
        str | None, typer.Option("--until", help="Stop after this stage and report what there is.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="What to call the run [default: its data, recipe, size and seed].")
    ] = "",
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Run the pipeline: ingest, prepare, embed, sid, base, sft, rl, evaluate. Finished stages come from the store."""
    with short_errors(debug):
        stages_to_refresh(from_stage, refresh or [])
        if until:
            check_stage(until)
        check_name(name)
        checked = checked_config(config, overrides, store)
        environment.prepare(local_root(checked.store), debug)
        environment.check_api()
        report = run_flow(
            checked,
            recipe_of(config),
            name,
            from_stage=from_stage,
            refresh=refresh or [],
            until=until,
            refresh_elsewhere=refresh_elsewhere,
        )
        print_report(report, local_root(checked.store))


@app.command()
def compare(
    configs: Annotated[list[Path], typer.Option("--configs", help="The YAML files to compare.")],
    more: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,
    overlay: Annotated[
        list[Path] | None,
        typer.Option(
            "--overlay",
            help="YAML file with settings that override those of each (conf/cpu.yaml, say); may be repeated.",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=100, help="Runs of each config, with seeds in a row.")
    ] = 1,
    overrides: _Set = None,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Run several configs, stages they share once, and compare their results in one table."""
    with short_errors(debug):
        checked = [checked_config([path, *(overlay or [])], overrides, store) for path in [*configs, *(more or [])]]
        environment.prepare(local_root(checked[0].store), debug)
        environment.check_api()
        print_comparison(compare_configs(checked, seeds))


@app.command()
def plan(
    config: Annotated[
        list[Path],
        typer.Option("--config", "-c", help="YAML file; may be repeated: later files override earlier ones."),
    ],
    overrides: _Set = None,
    users: Annotated[int | None, typer.Option("--users", help="Users to train on and recommend to.")] = None,
    items: Annotated[int | None, typer.Option("--items", help="Items of the catalogue.")] = None,
    history: Annotated[
        int | None, typer.Option("--history", help="Items of a history [default: prepare.max_history].")
    ] = None,
    text_tokens: Annotated[int | None, typer.Option("--text-tokens", help="Tokens of an item's text.")] = None,
    run_name: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Run id, or `latest`, whose users and items are meant.")
    ] = "",
    gpu: Annotated[int, typer.Option("--gpu", help="Memory in GB of the GPU that is asked for.")] = 80,
    mfu: Annotated[
        list[str] | None,
        typer.Option(
            "--mfu", metavar="PART=SHARE", help="Share of the GPU's rate that a part reaches; may be repeated."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print it as a row of a Markdown table.")] = False,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Say what a config needs of a GPU, without one: memory, arithmetic and time of every stage, and what it fits."""
    with short_errors(debug):
        from flows.plan import show

        form = "json" if as_json else "markdown" if as_markdown else "text"
        sizes = {"users": users, "items": items, "history": history, "text_tokens": text_tokens}
        show(out, settings_alone(config, overrides, store), sizes, run_name, gpu, mfu or [], form)


@app.command()
def recommend(
    run_name: Annotated[
        str, typer.Option("--run", metavar="RUN", help="Run id, or `latest` [default: the model in service].")
    ] = "",
    name: Annotated[
        str, typer.Option("--name", help="Name of the model in service, such as demo; where there are several.")
    ] = "",
    users: Annotated[
        Path | None,
        typer.Option("--users", help="Parquet or CSV with a column user_id, or text with an id a line [default: all]."),
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Items of a list, at most [default: as configured].")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder to copy the lists to, as Parquet.")
    ] = None,
    events_of: Annotated[
        str, typer.Option("--events-of", metavar="RUN", help="The run whose events are read [default: the model's].")
    ] = "",
    overrides: _Set = None,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Make lists for every customer, as Parquet, by the model in service or that of a run."""
    with short_errors(debug):
        given = {"recommend.users": users, "recommend.k": k, "recommend.out": folder}
        fields = {
            setting: value if setting == "recommend.k" else str(value) for setting, value in given.items() if value
        }
        environment.prepare(local_root(named(store)), debug)
        environment.check_api()
        print_recommendations(
            run_recommend(
                run=run_name, name=name, events_of=events_of, store=store, fields=fields, settings=overrides or []
            )
        )


@app.command()
def report(
    run_name: Annotated[str, typer.Argument(metavar="[RUN]", help="Run id, or `latest`.")] = "latest",
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Print the results of a finished run and where its report.html is."""
    with short_errors(debug):
        root = local_root(named(store))
        print_report(finished_report(root, run_name), root)


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", help="Port of the Prefect server, on this machine only.")] = 4200,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Bring up the Prefect UI with the pipeline as a deployment; Ctrl-C takes all of it down."""
    with short_errors(debug):
        place = named(store)
        root = local_root(place)
        environment.prepare(root, debug=True)
        from flows.serve.serve import serve_here

        serve_here(root, port, place if is_url(place) else None)


@app.command()
def api(
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="YAML file with a section api; may be repeated."),
    ] = None,
    overrides: _Set = None,
    store: _Store = None,
    name: Annotated[str, typer.Option("--name", help="Name of the model in service, where there are several.")] = "",
    export: Annotated[
        Path | None, typer.Option("--export", help="Serve the model of this folder, which `export` wrote.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="Port [default: api.port, 8000].")
    ] = None,
    beside: Annotated[
        str, typer.Option("--beside", help="A run, or an exported folder, whose model the page compares with it.")
    ] = "",
    debug: _Debug = False,
) -> None:
    """Answer recommendations over HTTP with the model in service (else the latest run's), until Ctrl-C."""
    with short_errors(debug):
        from flows.api import start

        start(out, settings_alone(config or [], overrides, store), name, export, port, beside)


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment (service.experiment.name).")],
    events: Annotated[
        str, typer.Option("--events", help="Event log to read [default: the one that the endpoint wrote].")
    ] = "",
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Report who wins an experiment of the endpoint, by an interval that allows looking every day."""
    with short_errors(debug):
        from flows.experiment import show

        show(out, name, store, events)


@app.command()
def login(store: _Store = None, debug: _Debug = False) -> None:
    """Print the line to paste into the login page of the Prefect UI, and where the UI is while `serve` is up."""
    with short_errors(debug):
        from flows.serve.commands import show_login

        show_login(out, store)


@app.command()
def alerts(
    off: Annotated[bool, typer.Option("--off", help="Take the alerts off the server again.")] = False,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Send failed nightlies, unusable data and refused promotions to the address in GENREC_ALERTS_URL; tries it once."""
    with short_errors(debug):
        from flows.serve.commands import set_alerts

        set_alerts(out, store, off)


@app.command()
def deploy(
    pool: Annotated[
        str, typer.Option("--pool", help="Work pool of type process; made where it is missing.")
    ] = "genrec",
    debug: _Debug = False,
) -> None:
    """Put the deployments on a work pool of the Prefect server at PREFECT_API_URL, for Prefect workers elsewhere."""
    with short_errors(debug):
        if "PREFECT_API_URL" not in os.environ:
            raise GenrecError("PREFECT_API_URL is not set; set it to the server's address, or use serve on one machine")
        environment.spare_loopback_the_proxy()
        environment.check_api()
        from flows.serve.deploy import deploy as put_on_pool

        for line in put_on_pool(pool):
            out.print(line, soft_wrap=True)


@app.command()
def settings(
    write: Annotated[Path | None, typer.Option("--write", help="Write the page to this file.")] = None,
) -> None:
    """Every setting with its default and meaning, as Markdown (conf/README.md is this page)."""
    from flows.manual import manual

    if write:
        Path(expanded(str(write))).write_text(manual(), encoding="utf-8")
    else:
        print(manual(), end="")


@app.command()
def current(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Name of the runs, such as demo; where there are several.")
    ] = "",
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Show which model is in service, where its files are, and what was there before."""
    from flows.in_service import show

    with short_errors(debug):
        show(out, name, store)


@app.command()
def prune(
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, help="Leave what was written in the last so many days.")
    ] = 7,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, it is only listed.")] = False,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """List what the store can do without, and the disk it uses; --yes removes it. Nothing in use is ever removed."""
    with short_errors(debug):
        from flows.housekeeping import prune as prune_store

        prune_store(out, store, keep_days, yes)


@app.command()
def promote(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Run id, or `latest`.")],
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Put the model of a finished run in service, without a comparison (service.promote makes one)."""
    from flows.in_service import promote_run

    with short_errors(debug):
        promote_run(out, run_name, store)


@app.command()
def export(
    run_name: Annotated[
        str, typer.Argument(metavar="RUN", help="Run id, `latest`, or the name of a model in service, such as demo.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; it must be new or empty.")],
    force: Annotated[bool, typer.Option("--force", help="Put it in the place of an older export.")] = False,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Write a trained model to a folder of its own, which genrec.Recommender loads on any machine."""
    with short_errors(debug):
        from flows.export import export as export_model

        export_model(out, run_name, Path(expanded(str(folder))), force, store)


@app.command()
def rollback(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="Name of the runs, such as demo; where there are several.")
    ] = "",
    to: Annotated[int, typer.Option("--to", help="Number of the change to go back to; 0: the one before.")] = 0,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Put the model back in service that was there before."""
    from flows.in_service import go_back

    with short_errors(debug):
        go_back(out, name, to, store)


if __name__ == "__main__":
    sys.exit(app(prog_name="python -m flows"))
