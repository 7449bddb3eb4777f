"""Ctrl-C, the end of `make serve` and a cancellation in the UI end a run as Cancelled, with its stages, and in good order.

The signal raises an exception in the main thread, wherever that is: in Ray's or Prefect's own code it would leave tasks
behind and end in tracebacks. So the main thread only waits (`interruptible`) while the work runs in another one, which
is asked to stop (tasks/stop.py). Ray sets a handler of its own for SIGTERM where it is started in the main thread.
"""

import contextlib
import contextvars
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, ParamSpec, TypeVar

from prefect.exceptions import CancelledRun, TerminationSignal
from prefect.states import Cancelled

from tasks.stop import POLL_S, Stopped, stoppable

STOPPED = "stopped; press Retry (or start the same command again): it goes on from the checkpoint"

_T = TypeVar("_T")
_P = ParamSpec("_P")


def interruptible(work: Callable[[], _T]) -> _T:
    """What `work()` returns or raises. An interrupt of this thread stops the work, waits for its end, and goes on up."""
    result: Future[_T] = Future()

    def run() -> None:
        if result.set_running_or_notify_cancel():
            try:
                result.set_result(work())
            except BaseException as error:
                result.set_exception(error)

    with stoppable() as stop:
        try:
            threading.Thread(target=contextvars.copy_context().run, args=(run,), name="run").start()
            # A signal may be delivered to another thread: this one handles it when it next wakes up, so it does often.
            while not wait([result], timeout=POLL_S).done:
                pass
            return result.result()
        except (KeyboardInterrupt, TerminationSignal):
            stop.ask(STOPPED)
            if not result.cancel():  # it has begun
                wait([result])
            raise


def cancelled_when_stopped(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """A flow's function that ends as Cancelled where it was interrupted, or a flow that it called."""

    @functools.wraps(function)
    def flow(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        for name in ("prefect.task_runs", "prefect.flow_runs"):
            logging.getLogger(name).addFilter(_no_error)
        try:
            return function(*args, **kwargs)
        except (KeyboardInterrupt, TerminationSignal, Stopped, CancelledRun):
            return Cancelled(message=STOPPED)

    return flow


@contextlib.contextmanager
def as_interrupt() -> Iterator[None]:
    """In the block: a flow that was called and that was cancelled raises KeyboardInterrupt."""
    try:
        yield
    except CancelledRun:
        raise KeyboardInterrupt from None


def _no_error(record: logging.LogRecord) -> bool:
    """Prefect logs every end but Completed as an error, a cancelled flow with a traceback; one that was asked for is none."""
    if record.exc_info and isinstance(record.exc_info[1], CancelledRun):
        return False
    if record.levelno == logging.ERROR and record.getMessage().startswith("Finished in state Cancelled"):
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True
