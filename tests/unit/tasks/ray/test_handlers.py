"""SIGTERM keeps its handler, also where it is another thread that starts what takes it away."""

import os
import signal
import threading

import pytest

from tasks.ray.handlers import _set, keeps_sigterm


class Told(Exception):
    pass


def test_a_handler_that_c_code_installs_in_another_thread_is_gone_after_the_block():
    def tell(number, frame):
        raise Told

    def take_away():
        with keeps_sigterm():
            _set(signal.SIGTERM, 1)  # SIG_IGN, behind the back of Python's `signal` module, as Ray does

    before = signal.signal(signal.SIGTERM, tell)
    try:
        thread = threading.Thread(target=take_away)
        thread.start()
        thread.join()
        with pytest.raises(Told):  # noqa: PT012
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(30)
    finally:
        signal.signal(signal.SIGTERM, before)
