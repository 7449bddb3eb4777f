import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tests.bench import api_load


class Counted(ThreadingHTTPServer):
    """Answers as told by `reply`, which gets the number of a request; knows how many it had at once at most."""

    daemon_threads = True
    idle_s = None  # a connection without a request for so long is ended

    def __init__(self, reply):
        self.reply, self.lock = reply, threading.Lock()
        self.number = self.now = self.most = 0
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        self.connection.settimeout(server.idle_s)
        assert self.headers["Authorization"] == "Bearer secret"
        self.rfile.read(int(self.headers["Content-Length"]))
        with server.lock:
            server.number += 1
            number = server.number
            server.now += 1
            server.most = max(server.most, server.now)
        status = server.reply(number)
        with server.lock:
            server.now -= 1
        if status is None:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"12345")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(reply):
    server = Counted(reply)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def load(server, seconds=0.2, **how):
    return api_load.run(server.server_port, "/", [{"a": 1}, {"b": [2]}], "secret", seconds, warmup_s=0.0, **how)


def test_in_closed_loop_each_client_has_one_request_at_a_time():
    with serving(lambda number: 200) as server:
        found = load(server, clients=3)
        assert 1 <= server.most <= 3
        assert found["all_answers"] == server.number
    assert 1 <= found["answers"] <= found["all_answers"]
    assert found["per_s"] == pytest.approx(found["answers"] / 0.2)
    assert found["failures"] == {}


def test_refusals_and_closed_connections_are_failures_by_kind_and_the_load_goes_on():
    with serving(lambda number: {0: None, 1: 503}.get(number % 5, 200)) as server:
        found = load(server, clients=2)
        refused = [number % 5 for number in range(1, server.number + 1)]
    assert found["failures"] == {api_load.CLOSED: refused.count(0), "503": refused.count(1)}
    assert found["answers"] >= 1


def test_a_latency_in_open_loop_counts_from_the_moment_the_request_was_due():
    free = threading.Event()

    def stall(number):
        if number == 1:
            time.sleep(0.2)
            free.set()
        free.wait()
        return 200

    with serving(stall) as server:
        loaded = api_load.Load(server.server_port, [api_load.request_bytes("/", {}, "secret")], 0.0, 2.0)
        start = time.perf_counter()
        loaded.end = start + 0.05  # all are due before the stall is over
        api_load.open_loop(loaded, rate=400, seed=0)
        loaded.end = start + 60
        loaded.finish()
        assert server.number == len(loaded.latencies) > 3
    assert min(loaded.latencies) >= 0.1
    assert not loaded.failures


def test_a_connection_that_the_server_ends_while_idle_is_left_without_a_failure():
    with serving(lambda number: 200) as server:
        server.idle_s = 0.05
        loaded = api_load.Load(server.server_port, [api_load.request_bytes("/", {}, "secret")], 0.0, 60.0)
        loaded.open_up(1)
        loaded.send()
        while not loaded.latencies:
            loaded.collect(loaded.end)
        assert loaded.collect(loaded.end) == 0  # comes back when the connection is closed
        loaded.send()
        loaded.finish()
    assert len(loaded.latencies) == 2
    assert not loaded.failures


def test_arrivals_have_their_rate_and_gaps_that_forget_what_was_before():
    moments = np.array(list(api_load.arrivals(50, 10.0, 210.0, seed=1)))
    gaps = np.diff(moments)
    assert len(moments) == pytest.approx(50 * 200, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as an exponential distribution has it
    assert moments[0] >= 10
    assert moments[-1] < 210


def test_the_outcome_is_told_by_percentile():
    found = api_load.outcome([i / 1000 for i in range(1, 101)], {}, 2.0)
    assert found["per_s"] == 50
    assert found["ms"]["p50"] == pytest.approx(50.5)
    assert found["ms"]["p99"] == pytest.approx(99.01)
    assert found["ms"]["max"] == pytest.approx(100)
