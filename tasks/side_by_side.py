"""The stages of a run, each in a thread of its own: it starts when the artifacts it reads are there.

    with side_by_side(run) as start:
        raw = start(ingest)
        data = start(prepare, ingest=raw)

Nothing but what a stage reads decides when it starts; whether two of them then compute at the same time is a matter of
cores and GPUs (tasks/ray/room.py). The first failure stops the stages that are still at work.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Protocol

from genrec.store.local import Artifact
from tasks.run import STAGES, Run
from tasks.stop import Stop, Stopped, stoppable

Later = Future[Artifact]


class _Stage(Protocol):
    name: str

    def __call__(self, run: Run, **inputs: Artifact) -> Artifact: ...


class Start(Protocol):
    """Starts a stage; it gives its artifact later."""

    def __call__(self, stage: _Stage, **inputs: Later) -> Later: ...


@contextlib.contextmanager
def side_by_side(run: Run) -> Iterator[Start]:
    """Leaves when every stage that was started has ended; stages after `run.until` are not started.

    Raises what the stage raised that failed first, else Stopped where the run was asked to stop.
    """
    started: list[Later] = []
    failures: list[BaseException] = []
    with stoppable() as stop, ThreadPoolExecutor(len(STAGES), "stage") as pool:

        def start(stage: _Stage, **inputs: Later) -> Later:
            if run.until is not None and STAGES.index(stage.name) > STAGES.index(run.until):
                return Future()  # whatever reads it comes later still, and is not started either
            future = pool.submit(contextvars.copy_context().run, _run, run, stage, inputs, stop, failures)
            started.append(future)
            return future

        try:
            yield start
            wait(started)
        except BaseException:
            stop.ask("stopped: the run ends")
            raise
    if failures:
        raise failures[0]
    for future in started:
        future.result()


def _run(run: Run, stage: _Stage, inputs: dict[str, Later], stop: Stop, failures: list[BaseException]) -> Artifact:
    wait(inputs.values())
    stop.check()
    found = {name: later.result() for name, later in inputs.items()}
    try:
        return stage(run, **found)
    except Stopped:
        raise
    except BaseException as error:
        failures.append(error)
        stop.ask(f"stopped, because {stage.name} failed; what is finished and the checkpoints are kept")
        raise
