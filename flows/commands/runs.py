"""Runs of the pipeline, before, while and after they are made."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.app import Debug, Set, Store, app
from flows.finished import finished_report
from flows.run_names import check_name, recipe_of
from flows.serve import environment
from flows.session import (
    checked_config,
    compare_configs,
    out,
    print_comparison,
    print_report,
    run_flow,
    settings_alone,
    short_errors,
)
from flows.stores import at_url, named
from genrec.store.remote import local_root
from tasks.run import check_stage, stages_to_refresh

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
    overrides: Set = None,
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
        str, typer.Option("--name", help=r"What to call the run \[default: its data, recipe, size and seed].")
    ] = "",
    store: Store = None,
    debug: Debug = False,
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
    overrides: Set = None,
    store: Store = None,
    debug: Debug = False,
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
    overrides: Set = None,
    users: Annotated[int | None, typer.Option("--users", help="Users to train on and recommend to.")] = None,
    items: Annotated[int | None, typer.Option("--items", help="Items of the catalogue.")] = None,
    history: Annotated[
        int | None, typer.Option("--history", help=r"Items of a history \[default: prepare.max_history].")
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
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Say what a config needs of a GPU, without one: memory, arithmetic and time of every stage, and what it fits."""
    with short_errors(debug):
        from flows.plan import show

        form = "json" if as_json else "markdown" if as_markdown else "text"
        sizes = {"users": users, "items": items, "history": history, "text_tokens": text_tokens}
        show(out, settings_alone(config, overrides, store), sizes, run_name, gpu, mfu or [], form)


@app.command()
def report(
    run_name: Annotated[str, typer.Argument(metavar="[RUN]", help="Run id, or `latest`.")] = "latest",
    store: Store = None,
    debug: Debug = False,
) -> None:
    """Print the results of a finished run and where its report.html is."""
    with short_errors(debug):
        place = named(store)
        root = local_root(place)
        print_report(finished_report(root, run_name, at_url(place)), root, place)
