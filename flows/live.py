"""What a person sees in the Prefect UI while a run works.

The task run of a stage is called `sft 40%, 2 min left` while it works; an artifact of it shows the figures; its log has a
line now and then, those of the Ray workers among them. When the stage has ended, its name is plain again, the artifact is
gone, and the log has the last figures.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import TaskRunContext
from prefect.exceptions import MissingContextError, PrefectException

from flows.pace import Pace, roughly, so_far
from genrec.report.page import duration
from tasks.ray.watch import Several, Watcher, watcher, watching

_IN_FULL = {"ndcg": "validation NDCG@10"}
_LINES_PER_STAGE = 40  # of progress in the log of a stage, at most: enough to read a training by


@dataclass
class _Stage:
    """What is shown of a stage that works."""

    pace: Pace
    figures: dict[str, float] = field(default_factory=dict)  # the latest of each
    artifact: UUID | None = None
    renamed: bool = False


class PrefectWatcher(Watcher):
    """Shows the stages that compute, several at a time where they work side by side, each in a thread of its own.

    The display is never worth a run: a server that does not answer costs an update, nothing else.
    """

    def __init__(self) -> None:
        self._stages: dict[tuple[int, str], _Stage] = {}

    def stage_started(self, stage: str, reason: str) -> None:
        self._stages[threading.get_ident(), stage] = _Stage(Pace())

    def stage_waiting(self, stage: str) -> None:
        _log(logging.INFO, f"{stage}: another run computes it; waiting for the result")

    def progress(self, stage: str, done: float, total: float, note: str, values: dict[str, float]) -> None:
        shown = self._stages.setdefault((threading.get_ident(), stage), _Stage(Pace()))
        share = min(1.0, done / total) if total else 0.0
        shown.figures.update(values)
        left = shown.pace.left_s(share)
        if shown.pace.due("line", share, _LINES_PER_STAGE):
            _log(logging.INFO, "  ".join(t for t in (so_far(stage, share, left), note, _in_line(shown.figures)) if t))
        if shown.pace.due("display", share):
            _try(stage, lambda: _update(shown, stage, share, left, _in_words(done, total, note, shown.figures, left)))

    def stage_finished(self, record: dict[str, Any]) -> None:
        figures = self._end(record["name"])
        if record["status"] == "computed":
            _log(logging.INFO, "  ".join((f"{record['name']} done in {duration(record['seconds'])}", figures)).rstrip())

    def stage_failed(self, stage: str) -> None:
        self._end(stage)

    def stage_stopped(self, stage: str) -> None:
        self._end(stage)

    def message(self, text: str) -> None:
        _log(logging.INFO, text)

    def worker_log(self, stage: str, level: int, text: str) -> None:
        _log(level, text)

    def _end(self, stage: str) -> str:
        """Take away what was shown of a stage; its latest figures as a part of a line."""
        shown = self._stages.pop((threading.get_ident(), stage), None)
        if shown is None:
            return ""
        if shown.artifact or shown.renamed:
            _try(stage, lambda: _take_away(shown, stage))
        return _in_line(shown.figures)


def _update(shown: _Stage, stage: str, share: float, left_s: float | None, description: str) -> None:
    if shown.artifact is None:
        key = f"progress-{stage}".replace("_", "-")  # Prefect allows no underscore in it
        shown.artifact = cast(UUID, create_progress_artifact(100 * share, key=key, description=description))
    else:
        update_progress_artifact(shown.artifact, 100 * share, description=description)
    with get_client(sync_client=True) as client:
        shown.renamed = _rename(client, so_far(stage, share, left_s)) or shown.renamed


def _take_away(shown: _Stage, stage: str) -> None:
    with get_client(sync_client=True) as client:
        if shown.renamed:
            _rename(client, stage)
        if shown.artifact is not None:
            client.delete_artifact(shown.artifact)


def _rename(client: SyncPrefectClient, name: str) -> bool:
    """Name the task run that is at work, for the time until its next state; whether there is one."""
    context = TaskRunContext.get()
    if context is not None:
        client.set_task_run_name(context.task_run.id, name)
    return context is not None


def _try(stage: str, show: Callable[[], None]) -> None:
    try:
        show()
    except (httpx.HTTPError, PrefectException, OSError) as error:  # of the connection: the run goes on
        _log(logging.DEBUG, f"{stage}: progress not shown ({type(error).__name__})")
    except Exception as error:  # a defect of the display, which is said but is not worth a training
        _log(logging.ERROR, f"{stage}: progress cannot be shown ({type(error).__name__}: {error})")


def _in_line(figures: dict[str, float]) -> str:
    return ", ".join(f"{_name(name)} {value:.4g}" for name, value in figures.items())


def _in_words(done: float, total: float, note: str, figures: dict[str, float], left_s: float | None) -> str:
    rows = {
        "done": f"{done:,.0f} of {total:,.0f}" + (f" ({note})" if note else ""),
        **{_name(name): f"{value:.4g}" for name, value in figures.items()},
        "left, about": roughly(left_s) if left_s is not None else "not known yet",
    }
    table = "\n".join(f"| {name} | {text.replace('|', '/')} |" for name, text in rows.items())
    return f"| | |\n|---|---|\n{table}\n"


def _name(figure: str) -> str:
    return _IN_FULL.get(figure, figure.replace("_", " "))


def _log(level: int, text: str) -> None:
    with contextlib.suppress(MissingContextError):
        get_run_logger().log(level, text)


@contextlib.contextmanager
def shown_in_prefect() -> Iterator[None]:
    """Show what happens inside in the Prefect UI, beside whoever is told of it already."""
    with watching(Several(watcher(), PrefectWatcher())):
        yield
