"""What the commands share: a checked config, a Prefect API, reports and errors in the terminal."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from flows.run_names import by_scheme, folder_name, run_name, tags, without_time
from genrec.config import Config
from genrec.config.load import load_config
from genrec.errors import ConfigError, GenrecError
from genrec.redact import redact
from genrec.store.remote import is_url, local_root
from tasks.checks import check_models, check_outside

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def checked_config(files: list[Path], overrides: list[str] | None, store: str | None) -> Config:
    """The config of files and `--set` values, with `--store` on top.

    Raises GenrecError naming the wrong setting, or the store, file or folder that is not there or cannot be used.
    """
    config = load_config(files, _with_store(overrides, store), early=check_outside)
    check_models(config)  # those that are the default of a variant
    return config


def settings_alone(files: list[Path], overrides: list[str] | None, store: str | None) -> Config:
    """The config of files and `--set` values, with `--store` on top; data and models that it names may be gone."""
    return load_config(files, _with_store(overrides, store))


def _with_store(overrides: list[str] | None, store: str | None) -> list[str]:
    return [*(overrides or []), *([f"store={json.dumps(store)}"] if store else [])]


def claimed_run_id(name: str, store: str) -> str:
    """The name of a run's folder, claimed by making it; a number is added when two runs start in the same second."""
    stem = folder_name(name, datetime.now())
    run_id, n = stem, 2
    while True:
        try:
            (local_root(store) / "runs" / run_id).mkdir(parents=True)
        except FileExistsError:
            run_id, n = f"{stem}-{n}", n + 1
        else:
            return run_id


@contextlib.contextmanager
def prefect_api(checked: Config) -> Iterator[Callable[[], None]]:
    """A Prefect API to talk to; the callable waits for it, after the imports that run while it starts.

    Prefect is imported inside of it: it keeps to the settings that it was imported with.

    A server of this store, now or when it is served next, has the reports under /reports.
    """
    from flows.serve.server import api

    if "PREFECT_API_URL" not in os.environ:
        os.environ.setdefault("GENREC_REPORTS_URL", "/reports")
    with api(local_root(checked.store) / "prefect") as server:
        yield server.wait_until_healthy if server else lambda: None


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """Show stages and progress in the terminal."""
    from flows.console import Terminal
    from tasks.ray.watch import watching

    with Terminal(out) as shown, watching(shown):
        yield


def run_flow(checked: Config, recipe: str, name: str = "", **arguments: Any) -> dict[str, Any]:
    """Run the flow `retrain` and publish its results, with a Prefect API of its own; the report.

    recipe: how the run and its tag call the way it trains. name: what its user calls it, if anything.
    """
    run_id = claimed_run_id(run_name(checked, recipe, name), checked.store)
    out.print(f"[bold]genrec[/] run {run_id}")
    with prefect_api(checked) as ready, terminal():
        import prefect

        from flows.interrupts import as_interrupt
        from flows.retrain import retrain

        ready()
        with as_interrupt(), prefect.tags(*tags(checked, recipe)):
            return retrain(config=checked.model_dump(mode="json"), run_id=run_id, **arguments)


def compare_configs(checked: Sequence[Config], seeds: int) -> dict[str, Any]:
    """Run the flow `compare` with a Prefect API of its own; what it returns."""
    with prefect_api(checked[0]) as ready, terminal():
        import prefect

        from flows.compare import compare
        from flows.interrupts import as_interrupt

        ready()
        names = [config.name for config in checked]
        with as_interrupt(), prefect.tags(*tags(checked[0], *names)):
            return compare(
                configs=[config.model_dump(mode="json") for config in checked],
                run_id=claimed_run_id(by_scheme(checked[0], *names), checked[0].store),
                seeds=seeds,
            )


def run_recommend(**asked: Any) -> dict[str, Any]:
    """Run the flow `recommend` with a Prefect API of its own; what it returns. asked: as `flows.asked.what_is_asked`."""
    from flows.asked import what_is_asked

    checked = what_is_asked(**asked)[0]  # before a server is started
    called = f"recommend-{without_time(asked['run']) if asked['run'] else asked['name'] or 'in-service'}"
    run_id = claimed_run_id(called, checked.store)
    out.print(f"[bold]genrec[/] run {run_id}")
    with prefect_api(checked) as ready, terminal():
        from flows.interrupts import as_interrupt
        from flows.recommend import recommend_flow

        ready()
        with as_interrupt():
            return recommend_flow(run_id=run_id, **asked)


def print_recommendations(made: dict[str, Any]) -> None:
    """What was made for the customers, in sentences."""
    from genrec.serve.batch.words import in_words

    for line in in_words(made):
        out.print(line, markup=False, soft_wrap=True)


def print_comparison(comparison: dict[str, Any]) -> None:
    """Table, sentences and place of a comparison."""
    from flows.console import table

    out.print(table("HR and NDCG of every config", comparison["columns"], comparison["table"]))
    for line in comparison["summary"]:
        out.print(escape(line))
    out.print(f"report  {comparison['html']}", markup=False, soft_wrap=True)


def print_report(report: dict[str, Any], store: Path, place: str = "") -> None:
    """Table, sentences and place of a report, and the disk in use; `store` is the folder with runs/.

    place: folder or URL of the store; there the page is, where another machine made it.
    """
    from flows.console import table
    from flows.housekeeping import shown_size
    from genrec.data.coverage import read_in_words
    from genrec.report.results import terminal_rows
    from genrec.store.prune import disk_use

    columns, rows = terminal_rows(report)
    if rows:
        out.print(table(report["protocol"]["short"], columns, rows))
    for line in report.get("verdict", []):
        out.print(escape(line))
    for line in read_in_words(report["data"]) if "data" in report else []:
        out.print(f"data  {line}", markup=False, soft_wrap=True)
    if report.get("recommendations"):
        print_recommendations(report["recommendations"])
    for line in report.get("warnings", []):
        out.print(f"[yellow]warning[/]  {escape(line)}", soft_wrap=True)
    page: Path | str = store / "runs" / report["run_id"] / "report.html"
    if is_url(place) and not Path(page).is_file():
        page = f"{place.rstrip('/')}/runs/{report['run_id']}/report.html"
    out.print(f"report  {page}  (figures: report.json)", markup=False, soft_wrap=True)
    used = shown_size(sum(disk_use(store).values()))
    out.print(
        f"store   {store}  {used} on disk; `python -m flows prune` lists what can go", markup=False, soft_wrap=True
    )


@contextlib.contextmanager
def short_errors(debug: bool) -> Iterator[None]:
    """Errors in one or two lines; the traceback only on demand."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(
            "stopped. Finished stages and checkpoints are kept: the same command goes on from there.", soft_wrap=True
        )
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
        err.print("[red bold]error[/] " + redact(text).replace("[", r"\["), soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None
