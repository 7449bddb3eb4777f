"""What a person sees in the Prefect UI while a run works: live progress as an artifact, worker logs in the task run."""

import contextlib
import logging
import time
from collections.abc import Iterator
from threading import local
from typing import Any, cast
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError, PrefectException

from genrec.report.page import duration
from tasks.ray.watch import Watcher, watching

_EVERY_S = 2.0
_IN_FULL = {"ndcg": "validation NDCG@10"}
_LINES_PER_STAGE = 20  # of progress in the log of a stage: enough to read a training by, few enough to read


class PrefectWatcher(local, Watcher):
    """One progress artifact a stage, brought up to date every few seconds, and lines in the log of its task run.

    `local`: each stage is at work in a thread of its own, where it finds its own artifact.
    The display is never worth a run: a server that does not answer costs an update, nothing else.
    """

    def __init__(self) -> None:
        self._artifact: UUID | None = None
        self._began = self._shown = 0.0
        self._line = -1

    def stage_started(self, stage: str, reason: str) -> None:
        self._artifact, self._began, self._shown, self._line = None, time.monotonic(), 0.0, -1

    def stage_waiting(self, stage: str) -> None:
        _log(logging.INFO, f"{stage}: another run computes it; waiting for the result")

    def progress(self, stage: str, done: float, total: float, note: str, values: dict[str, float]) -> None:
        share = min(1.0, done / total) if total else 0.0
        figures = ", ".join(f"{_name(name)} {value:.4g}" for name, value in values.items())
        line = int(share * _LINES_PER_STAGE)
        if line > self._line:
            self._line = line
            _log(logging.INFO, "  ".join(t for t in (f"{stage} {share:.0%}", note, figures) if t))
        now = time.monotonic()
        if now - self._shown >= _EVERY_S or done >= total:
            self._shown = now
            self._show(stage, share, _in_words(stage, share, done, total, note, values, now - self._began))

    def stage_finished(self, record: dict[str, Any]) -> None:
        if self._artifact is not None:
            self._show(record["name"], 1.0, f"**{record['name']}** finished in {duration(record['seconds'])}.")
            self._artifact = None

    def message(self, text: str) -> None:
        _log(logging.INFO, text)

    def worker_log(self, stage: str, level: int, text: str) -> None:
        _log(level, text)

    def _show(self, stage: str, share: float, description: str) -> None:
        try:
            if self._artifact is None:
                key = f"progress-{stage}".replace("_", "-")  # Prefect allows no underscore in it
                self._artifact = cast(UUID, create_progress_artifact(100 * share, key=key, description=description))
            else:
                update_progress_artifact(self._artifact, 100 * share, description=description)
        except (httpx.HTTPError, PrefectException, OSError) as error:  # of the connection: the run goes on
            _log(logging.DEBUG, f"{stage}: progress not shown ({type(error).__name__})")
        except Exception as error:  # a defect of the display, which is said but is not worth a training
            _log(logging.ERROR, f"{stage}: progress cannot be shown ({type(error).__name__}: {error})")


def _in_words(
    stage: str, share: float, done: float, total: float, note: str, values: dict[str, float], seconds: float
) -> str:
    left = seconds * (1 - share) / share if share else None
    rows = {
        "done": f"{done:,.0f} of {total:,.0f}" + (f" ({note})" if note else ""),
        **{_name(name): f"{value:.4g}" for name, value in values.items()},
        "running for": duration(seconds),
        "left, about": duration(left) if left is not None else "unknown",
    }
    table = "\n".join(f"| {name} | {text.replace('|', '/')} |" for name, text in rows.items())
    return f"**{stage}**\n\n| | |\n|---|---|\n{table}\n"


def _name(figure: str) -> str:
    return _IN_FULL.get(figure, figure.replace("_", " "))


def _log(level: int, text: str) -> None:
    with contextlib.suppress(MissingContextError):
        get_run_logger().log(level, text)


@contextlib.contextmanager
def shown_in_prefect() -> Iterator[PrefectWatcher]:
    with watching(PrefectWatcher()) as watcher:
        yield watcher
