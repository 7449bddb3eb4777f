"""The command line: `python -m flows --help`."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.serve import environment
from genrec.config import Config
from genrec.config.load import load_config
from genrec.errors import ConfigError, GenrecError
from genrec.store.remote import is_url, local_root

app = typer.Typer(
    help="genrec: from raw reviews to a generative recommender.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

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
        list[Path], typer.Option("--config", "-c", help="YAML file; repeat it to lay later files over earlier ones.")
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
            help="Recompute stages whose result was made on another CPU or GPU, or with other threads or library versions.",
        ),
    ] = False,
    until: Annotated[
        str | None, typer.Option("--until", help="Stop after this stage and report what there is.")
    ] = None,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Run the pipeline: ingest, prepare, embed, sid, base, sft, rl, evaluate. Finished stages come from the store."""
    with _short_errors(debug):
        checked = _checked(config, overrides, store)
        environment.prepare(local_root(checked.store), debug)
        from tasks.run import check_stage, stages_to_refresh  # before the slow imports: a typo answers at once

        stages_to_refresh(from_stage, refresh or [])
        if until:
            check_stage(until)
        report = _run_flow(
            checked,
            from_stage=from_stage,
            refresh=refresh or [],
            until=until,
            refresh_elsewhere=refresh_elsewhere,
        )
        _print_report(report, local_root(checked.store))


@app.command()
def compare(
    configs: Annotated[list[Path], typer.Option("--configs", help="The YAML files to compare.")],
    more: Annotated[list[Path] | None, typer.Argument(hidden=True)] = None,
    overlay: Annotated[
        list[Path] | None,
        typer.Option("--overlay", help="YAML file laid over each of them (conf/cpu.yaml, say); may be repeated."),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, max=100, help="Runs of each config, with seeds in a row.")
    ] = 1,
    overrides: _Set = None,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Run several configs, shared stages once, and lay their results side by side."""
    with _short_errors(debug):
        checked = [_checked([path, *(overlay or [])], overrides, store) for path in [*configs, *(more or [])]]
        environment.prepare(local_root(checked[0].store), debug)
        with _prefect(checked[0]) as ready, _terminal():
            from flows.compare import compare as compare_flow

            ready()
            result = compare_flow(
                configs=[c.model_dump(mode="json") for c in checked],
                run_id=_run_id("compare", checked[0].store),
                seeds=seeds,
            )
        from flows.console import table

        out.print(table("HR and NDCG of every config", result["columns"], result["table"]))
        for line in result["summary"]:
            out.print(line)
        out.print(f"report  {result['html']}")


@app.command()
def report(
    run_name: Annotated[str, typer.Argument(metavar="[RUN]", help="Run id, or `latest`.")] = "latest",
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Print the results of a finished run and where its report.html is."""
    with _short_errors(debug):
        root = local_root(store or Config.model_fields["store"].default)
        folder = root / "runs" / run_name
        if not (folder / "report.json").is_file():
            runs = sorted(p.parent.name for p in (root / "runs").glob("*/report.json") if p.parent.name != "latest")
            known = f"; finished runs: {', '.join(runs[-5:])}" if runs else "; there is no finished run yet: make run"
            raise GenrecError(f"{folder}: no report there{known}")
        _print_report(json.loads((folder / "report.json").read_text()), root)


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", help="Port of the Prefect server, on this machine only.")] = 4200,
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Bring up the Prefect UI with the pipeline as a deployment; Ctrl-C takes all of it down."""
    with _short_errors(debug):
        named = store or Config.model_fields["store"].default
        root = local_root(named)
        environment.prepare(root, debug=True)
        from flows.serve.serve import serve_here

        serve_here(root, port, named if is_url(named) else None)


@app.command()
def deploy(
    pool: Annotated[
        str, typer.Option("--pool", help="Work pool of type process; made where it is missing.")
    ] = "genrec",
    debug: _Debug = False,
) -> None:
    """Put the deployments on a work pool of the Prefect server that PREFECT_API_URL names, for Prefect workers elsewhere."""
    with _short_errors(debug):
        if "PREFECT_API_URL" not in os.environ:
            raise GenrecError("PREFECT_API_URL is not set; set it to the server's address, or use serve on one machine")
        from flows.serve.deploy import deploy as put_on_pool

        out.print(f"deployments  {', '.join(put_on_pool(pool))}", soft_wrap=True)
        out.print(f"start a Prefect worker with: prefect worker start --pool {pool}", soft_wrap=True)


@app.command()
def settings(
    write: Annotated[Path | None, typer.Option("--write", help="Write the page to this file.")] = None,
) -> None:
    """Every setting with its default and meaning, as Markdown (conf/README.md is this page)."""
    from flows.manual import manual

    if write:
        write.write_text(manual(), encoding="utf-8")
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

    with _short_errors(debug):
        show(out, name, store)


@app.command()
def promote(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Run id, or `latest`.")],
    store: _Store = None,
    debug: _Debug = False,
) -> None:
    """Put the model of a finished run in service, without a comparison (service.promote makes one)."""
    from flows.in_service import promote_run

    with _short_errors(debug):
        promote_run(out, run_name, store)


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

    with _short_errors(debug):
        go_back(out, name, to, store)


def _checked(files: list[Path], overrides: list[str] | None, store: str | None) -> Config:
    extra = [f"store={json.dumps(store)}"] if store else []
    return load_config(files, [*(overrides or []), *extra])


def _run_id(name: str, store: str) -> str:
    """Time and name, claimed by making its folder; a number is added when two runs start in the same second."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    run_id, n = stem, 2
    while True:
        try:
            (local_root(store) / "runs" / run_id).mkdir(parents=True)
        except FileExistsError:
            run_id, n = f"{stem}-{n}", n + 1
        else:
            return run_id


@contextlib.contextmanager
def _prefect(checked: Config) -> Iterator[Callable[[], None]]:
    """A Prefect API to talk to; the callable waits for it, after the imports that run while it starts."""
    from flows.serve.server import api

    with api(local_root(checked.store) / "prefect") as server:
        yield server.wait_until_healthy if server else lambda: None


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    from flows.console import Terminal
    from tasks.ray.watch import watching

    with Terminal(out) as terminal, watching(terminal):
        yield


def _run_flow(checked: Config, **arguments: Any) -> dict[str, Any]:
    run_id = _run_id(checked.name, checked.store)
    out.print(f"[bold]genrec[/] run {run_id}")
    with _prefect(checked) as ready, _terminal():
        from flows.retrain import retrain

        ready()
        return retrain(config=checked.model_dump(mode="json"), run_id=run_id, **arguments)


def _print_report(report: dict[str, Any], store: Path) -> None:
    from flows.console import table
    from genrec.report.results import terminal_rows

    columns, rows = terminal_rows(report)
    if rows:
        out.print(table(report["protocol"]["short"], columns, rows))
    for line in report.get("verdict", []):
        out.print(line)
    folder = store / "runs" / report["run_id"]
    out.print(f"report  {folder / 'report.html'}  (figures: report.json)")


@contextlib.contextmanager
def _short_errors(debug: bool) -> Iterator[None]:
    """Errors in one or two lines; the traceback only on demand."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("stopped. Finished stages and checkpoints are kept: the same command goes on from there.")
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            raise
        known = isinstance(error, GenrecError)
        text = (
            str(error)
            if known
            else f"{type(error).__name__}: {error}\nThis is unexpected; --debug shows the traceback."
        )
        err.print("[red bold]error[/] " + text.replace("[", r"\["), soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None


if __name__ == "__main__":
    sys.exit(app(prog_name="python -m flows"))
