"""Stopping: asked for once, heard by the work of the block and of the blocks inside it, by no other."""

import contextvars
import threading

import pytest

from tasks.stop import Stop, Stopped, stoppable, stopping


def test_work_goes_on_until_it_is_asked_to_stop():
    with stoppable() as stop:
        stopping().check()
        stop.ask("enough")
        with pytest.raises(Stopped, match="enough"):
            stopping().check()
    stopping().check()  # what comes after the block was not asked


def test_of_several_reasons_the_first_one_counts():
    stop = Stop()
    stop.ask("a stage failed")
    stop.ask("the run ends")
    with pytest.raises(Stopped, match="a stage failed"):
        stop.check()


def test_a_block_stops_with_the_one_around_it_and_not_with_the_one_beside_it():
    with stoppable() as around:
        with stoppable() as first:
            pass
        with stoppable() as second:
            first.ask("the first one failed")
            second.check()
            around.ask("Ctrl-C")
            with pytest.raises(Stopped, match="Ctrl-C"):
                second.check()


def test_a_thread_that_works_in_a_copy_of_the_context_is_asked_too():
    heard = []

    def work():
        try:
            stopping().check()
        except Stopped as stopped:
            heard.append(str(stopped))

    with stoppable() as stop:
        stop.ask("Ctrl-C")
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
        thread.start()
        thread.join()
    assert heard == ["Ctrl-C"]
