"""A whole run of seconds: every stage of the product, in a process of its own, without Ray and without Prefect's server.

Each process is forked from a clean one that has everything imported (`forkserver`), so a run costs what it computes.
"""

import contextlib
import functools
import importlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tasks.ray.parallel
import tasks.stage
from genrec.config import Config
from genrec.config.load import load_config
from genrec.progress import silent
from genrec.store.artifact import MANIFEST, Disk, mismatch
from genrec.store.local import Store
from genrec.store.prune import running
from tasks.run import Run
from tests.e2e.conftest import ROOT, TINY
from tests.support.stages import ALWAYS
from tests.unit.config.test_keys import READS

_HERE = "tests.support.promises.whole_run"
_SMALL = ["data.options.num_users=150", "data.options.num_items=40", "rl.num_rollout_workers=0", "sft.epochs=1",
          "base.scratch.text_epochs=0", "sft.checkpoint_every_s=0", "rl.checkpoint_every_s=0"]  # fmt: skip

Note = Callable[[Any], None]  # puts plain data into the log of a process

# What stages import when they are first called.
_PRELOADED = [
    _HERE, "genrec.data.ingest", "genrec.data.prepare", "genrec.data.sources.synthetic", "genrec.embed.encode",
    "genrec.embed.encoders.lsa", "genrec.sid.assign", "genrec.train.base", "genrec.train.sft.train",
    "sklearn.decomposition", "sklearn.feature_extraction.text", "faiss",
    "genrec.train.rl.train", "genrec.measure.evaluation", "genrec.measure.predictions", "genrec.measure.baselines",
]  # fmt: skip


@functools.cache
def small_config() -> Config:
    return load_config([ROOT / "conf" / "demo.yaml", TINY], _SMALL)


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Ray tasks are plain calls."""

    def run_tasks(stage, function, calls, resources, work, reports_progress=False, **_):
        more = {"progress": silent} if reports_progress else {}
        return [function(**call, **more) for call in calls]

    def run_task(stage, function, call, resources, work):
        return run_tasks(stage, function, [call], resources, work, reports_progress=True)[0]

    with (
        patch.object(tasks.stage, "run_tasks", run_tasks),
        patch.object(tasks.stage, "run_task", run_task),
        patch.object(tasks.ray.parallel, "run_task", run_task),
    ):
        yield


def _stage(name: str) -> Any:
    return getattr(importlib.import_module(f"tasks.stages.{name}"), name)


class StageByStage:
    """A run whose stages are executed one after the other, each as often as wanted."""

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        config = small_config().model_copy(update={"store": str(root)})
        self.run = Run(config, Store(root, disk), f"run-{os.getpid()}-{time.monotonic_ns()}")

    def execute(self, name: str) -> dict[str, Any]:
        """Run a stage on the artifacts of those before; its record."""
        with in_this_process():
            state = stage_of(name).execute(self.run, {n: self.run.artifacts[n] for n in READS[name] if n in ALWAYS})
        self.run.artifacts[name] = getattr(state, "data", state)
        return next(record for record in self.run.records if record["name"] == name)


def stage_of(name: str) -> Any:
    return getattr(importlib.import_module(f"tasks.stages.{name}"), name)


def run_stages(
    root: Path, note: Note, disk: Disk | None = None, before: Callable[[str], None] = lambda stage: None
) -> None:
    """Run every stage on the store at `root`, as the flow does; notes the record of each that is acknowledged."""
    made = StageByStage(root, disk)
    with running(made.run.store.root, made.run.run_id):
        made.run.store.remove_leftovers()
        made.run.store.remove_old_generations()
        for name in ALWAYS:
            before(name)
            note({"done": made.execute(name)})


def _logged(root: Path, log: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """The life of a process: `function(root, note, *arguments)`; what it notes is in the log line by line."""
    with log.open("a", buffering=1) as lines:

        def note(entry: Any) -> None:
            lines.write(json.dumps(entry) + "\n")

        try:
            function(root, note, *arguments)
        except Exception as error:
            note({"error": f"{type(error).__name__}: {error}"})
            raise SystemExit(1) from None


class Started:
    """A process that works on a store."""

    def __init__(self, root: Path, function: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        root.mkdir(parents=True, exist_ok=True)
        self.log = root.parent / f"{root.name}-{time.monotonic_ns()}.log"
        self.process = context.Process(target=_logged, args=(root, self.log, function, arguments))
        self.process.start()

    def wait(self, timeout_s: float = 300) -> "Started":
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, "the process did not end"
        return self

    @property
    def code(self) -> int | None:
        return self.process.exitcode

    @property
    def notes(self) -> list[Any]:
        """The whole lines; the last one may be torn by a kill."""
        found = []
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found


def finished(root: Path) -> dict[str, dict[str, Any]]:
    """Run to the end in a process of its own; the records of its stages by name."""
    started = Started(root, run_stages).wait()
    assert started.code == 0, started.notes[-1:]
    return acknowledged(started)


def acknowledged(started: Started) -> dict[str, dict[str, Any]]:
    """The records of the stages that a process has finished, by name."""
    return {note["done"]["name"]: note["done"] for note in started.notes if "done" in note}


def digests(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: record["digest"] for name, record in records.items()}


def whole_artifacts(root: Path) -> dict[str, str]:
    """The digest of each visible artifact by key. Fails where one is not whole."""
    found = {}
    for path in sorted((root / "objects").glob("*")):  # the folder is missing where the process died before it
        assert (path / MANIFEST).is_file(), f"{path.name} is visible without a manifest"
        manifest = json.loads((path / MANIFEST).read_bytes())
        assert mismatch(path, manifest) is None, f"{path.name} is visible and not whole"
        found[path.name] = manifest["digest"]
    return found


def assert_nothing_is_left(root: Path) -> None:
    """After a run that came to its end: no temporary folder, no checkpoint, nothing set aside."""
    for name in ("tmp", "work", "corrupt"):
        left = [p.name for p in (root / name).iterdir()]
        assert left == [], f"{name} still holds {left[:3]}"
