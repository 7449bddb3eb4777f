"""Interrupts: the work in another thread stops in good order, and the flow ends as Cancelled with what to do next."""

import logging
import os
import signal
import threading

import pytest
from prefect.exceptions import CancelledRun, TerminationSignal

from flows.interrupts import STOPPED, as_interrupt, cancelled_when_stopped, interruptible
from tasks.stop import Stopped, stopping


def test_what_the_work_returns_or_raises_comes_back():
    assert interruptible(lambda: 3) == 3
    with pytest.raises(ValueError, match="lost power"):
        interruptible(lambda: (_ for _ in ()).throw(ValueError("lost power")))


def test_the_work_is_done_outside_the_main_thread_where_ray_sets_no_handler_of_signals():
    assert interruptible(threading.current_thread) is not threading.main_thread()


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminationSignal)]
)
def test_a_signal_stops_the_work_and_waits_for_its_end(number, raised):
    ends, pause = [], threading.Event()

    def work():
        os.kill(os.getpid(), number)
        try:
            while not pause.wait(0.01):
                stopping().check()
        except Stopped as stopped:
            ends.append(str(stopped))
            raise

    def interrupt(number, frame):
        raise raised(number)

    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(raised):
            interruptible(work)
    finally:
        signal.signal(number, before)
    assert ends == [STOPPED]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), TerminationSignal(signal.SIGTERM), Stopped("x"), CancelledRun("x")]
)
def test_a_flow_that_is_interrupted_or_whose_subflow_is_ends_as_cancelled(error):
    @cancelled_when_stopped
    def flow():
        raise error

    state = flow()
    assert state.is_cancelled()
    assert state.message == STOPPED


def test_a_flow_that_fails_or_succeeds_is_left_alone():
    @cancelled_when_stopped
    def flow(result):
        """About it."""
        if result is None:
            raise ValueError("lost power")
        return result

    assert (flow(3), flow.__doc__) == (3, "About it.")
    with pytest.raises(ValueError, match="lost power"):
        flow(None)


def test_on_the_command_line_a_cancelled_flow_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt), as_interrupt():
        raise CancelledRun("stopped")


@pytest.mark.filterwarnings("ignore:Logger 'prefect.task_runs' attempted")
def test_the_end_of_a_stage_that_was_stopped_is_no_error_in_the_log_and_a_failure_is(caplog):
    cancelled_when_stopped(lambda: None)()
    log = logging.getLogger("prefect.task_runs")
    log.addHandler(caplog.handler)
    try:
        log.error("Finished in state Cancelled('stopped')")
        log.error("Finished in state Failed('lost power')")
    finally:
        log.removeHandler(caplog.handler)
    assert {(r.levelname, r.getMessage()) for r in caplog.records} >= {
        ("INFO", "Finished in state Cancelled('stopped')"),
        ("ERROR", "Finished in state Failed('lost power')"),
    }


@pytest.mark.filterwarnings("ignore:Logger 'prefect.flow_runs' attempted")
def test_the_traceback_of_a_cancelled_flow_is_not_logged_and_that_of_a_failed_one_is(caplog):
    cancelled_when_stopped(lambda: None)()
    log = logging.getLogger("prefect.flow_runs")
    log.addHandler(caplog.handler)
    try:
        for error in (CancelledRun("stopped"), ValueError("lost power")):
            log.error("Engine execution exited with unexpected exception", exc_info=error)
    finally:
        log.removeHandler(caplog.handler)
    assert {type(r.exc_info[1]) for r in caplog.records} == {ValueError}
