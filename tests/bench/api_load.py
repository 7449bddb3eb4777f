"""Load on an HTTP endpoint by one process: requests over keep-alive connections on plain sockets.

Closed loop: n clients, each sends its next request when it has its answer; the rate is what the endpoint can do.
Open loop: requests become due by a Poisson process of a given rate, whatever the endpoint does, and a latency counts from
the moment its request was due, so that those who wait behind a stall are in the percentiles (no coordinated omission).

    python -m tests.bench.api_load < order.json > outcome.json

locust, the usual tool, is measured beside it (`tests.bench.api_locust`): a request costs its fastest user 0.23 ms of CPU,
and this 0.03, and it brings the endpoint to four fifths of its saturation. An order holds the arguments of `run`.
"""

import itertools
import json
import re
import select
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_PATIENCE_S = 10.0  # for answers that are due when the time is over
_MOST_CONNECTIONS = 900
CLOSED, SILENT = "connection closed", "no answer"  # errors without a status


def request_bytes(path: str, body: dict[str, Any], token: str) -> bytes:
    """A POST request of JSON, as it goes over the wire."""
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Connection:
    """A keep-alive connection with one request at a time on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""
        self.since = 0.0  # when its request was sent, or due
        self.answer = b""  # body of the last answer

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """Read what is there: the status of an answer that is whole, None before, 0 where the connection was closed."""
        try:
            some = self.socket.recv(1 << 18)
        except ConnectionError:
            some = b""
        if not some:
            return 0
        self._got += some
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return None
        length = _LENGTH.search(head + b"\r\n")
        if length is None:
            raise ValueError(f"an answer without its length: {head!r}")
        if len(body) < int(length[1]):
            return None
        self._got, self.answer = b"", body
        return int(head[9:12])


class Load:
    """Connections to a port, the requests that they send in turn, and what came back.

    Only answers between `start` and `end` count.
    """

    def __init__(self, port: int, requests: Sequence[bytes], warmup_s: float, seconds: float) -> None:
        self._port = port
        self._requests = itertools.cycle(requests)
        self._poll = select.epoll()
        self._idle: list[Connection] = []
        self._busy: dict[int, Connection] = {}
        self.start = time.perf_counter() + warmup_s
        self.end = self.start + seconds
        self.num_answers = 0  # of any status, at any time
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()

    def open_up(self, number: int) -> None:
        """Open connections."""
        self._idle += [self._opened() for _ in range(number)]

    def send(self, due: float | None = None) -> None:
        """The next request, on a connection without one; its latency counts from `due`, or from now."""
        connection = self._idle.pop() if self._idle else self._opened()
        self._busy[connection.socket.fileno()] = connection
        connection.send(next(self._requests), time.perf_counter() if due is None else due)

    def collect(self, until: float) -> int:
        """Wait for answers until a moment at most; how many came."""
        # epoll_wait knows milliseconds; select, which waits for the poll's own descriptor here, microseconds.
        if not select.select([self._poll], [], [], max(0.0, until - time.perf_counter()))[0]:
            return 0
        came = 0
        for number, _ in self._poll.poll(0):
            connection = self._busy.get(number)
            if connection is None:  # the server ends a connection that had nothing to do for long
                self._drop(next(idle for idle in self._idle if idle.socket.fileno() == number))
                continue
            status = connection.receive()
            if status is None:
                continue
            came += 1
            del self._busy[number]
            self._note(connection.since, status)
            self._idle.append(connection)
            if not status:
                self._drop(connection)
                self._idle.append(self._opened())
        return came

    def finish(self) -> None:
        """Wait for the answers that are still due, and close all connections."""
        patience = time.perf_counter() + _PATIENCE_S
        while self._busy and time.perf_counter() < patience:
            self.collect(patience)
        if self._busy:
            self.failures[SILENT] += len(self._busy)
        for connection in [*self._idle, *self._busy.values()]:
            connection.socket.close()
        self._poll.close()

    @property
    def num_busy(self) -> int:
        return len(self._busy)

    def _opened(self) -> Connection:
        connection = Connection(self._port)
        self._poll.register(connection.socket, select.EPOLLIN)
        return connection

    def _drop(self, idle: Connection) -> None:
        self._poll.unregister(idle.socket)
        idle.socket.close()
        self._idle.remove(idle)

    def _note(self, since: float, status: int) -> None:
        now = time.perf_counter()
        self.num_answers += 1
        if status != 200:  # whenever it happens
            self.failures[str(status) if status else CLOSED] += 1
        elif self.start <= now < self.end:
            self.latencies.append(now - since)


def closed_loop(load: Load, clients: int) -> None:
    """Each client sends when it has its answer."""
    load.open_up(clients)
    for _ in range(clients):
        load.send()
    while time.perf_counter() < load.end:
        for _ in range(load.collect(load.end)):
            load.send()


def open_loop(load: Load, rate: float, seed: int) -> None:
    """Requests become due at `rate` a second, with exponential gaps."""
    for due in arrivals(rate, time.perf_counter(), load.end, seed):
        while time.perf_counter() < due:
            load.collect(due)
        while load.num_busy >= _MOST_CONNECTIONS:  # what has no connection goes on waiting since it was due
            if time.perf_counter() > load.end + _PATIENCE_S:
                return
            load.collect(load.end + _PATIENCE_S)
        load.send(due)


def arrivals(rate: float, start: float, end: float, seed: int) -> Iterator[float]:
    """Moments of a Poisson process of a rate."""
    rng = np.random.default_rng(seed)
    due = start
    while (due := due + rng.exponential(1 / rate)) < end:
        yield due


def run(
    port: int,
    path: str,
    bodies: Sequence[dict[str, Any]],
    token: str,
    seconds: float,
    *,
    clients: int | None = None,
    rate: float | None = None,
    warmup_s: float = 1.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Closed loop by a number of clients, or open loop by a rate; figures of `outcome`, the answers in all, and how
    many cores the load itself took.
    """
    load = Load(port, [request_bytes(path, body, token) for body in bodies], warmup_s, seconds)
    cpu = time.process_time()
    if clients is not None:
        closed_loop(load, clients)
    else:
        assert rate is not None
        open_loop(load, rate, seed)
    cpu = time.process_time() - cpu
    load.finish()
    figures = outcome(load.latencies, load.failures, seconds)
    return {**figures, "all_answers": load.num_answers, "client_cores": cpu / (warmup_s + seconds)}


def outcome(latencies: Sequence[float], failures: Counter[str], seconds: float) -> dict[str, Any]:
    """Rate of the answers with status 200, their latency in milliseconds by percentile, and failures by kind."""
    found: dict[str, Any] = {
        "answers": len(latencies),
        "per_s": len(latencies) / seconds,
        "failures": dict(failures),
    }
    if latencies:
        p50, p90, p99 = np.percentile(latencies, [50, 90, 99]).tolist()
        ms = {"p50": p50, "p90": p90, "p99": p99, "max": max(latencies), "mean": statistics.fmean(latencies)}
        found["ms"] = {name: 1000 * value for name, value in ms.items()}
    return found


if __name__ == "__main__":
    print(json.dumps(run(**json.load(sys.stdin))))
