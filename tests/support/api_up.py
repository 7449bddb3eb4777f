"""`python -m flows api` as a process of its own, and clients that ask it again and again."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.serve.server import free_port
from tests.e2e.conftest import ROOT
from tests.support.served import clean_environment


def start(store: Path, port: int, *settings: str, sink: Any = subprocess.PIPE) -> subprocess.Popen:
    """The command, in a session of its own; settings as --set takes them."""
    sets = [part for setting in settings for part in ("--set", setting)]
    return subprocess.Popen(
        [sys.executable, "-m", "flows", "api", "--store", str(store), "--port", str(port), *sets],
        cwd=ROOT, stdout=sink, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=clean_environment(OMP_NUM_THREADS="1"),
    )  # fmt: skip


class Api:
    """An endpoint that is up; `stop` is Ctrl-C."""

    def __init__(self, store: Path, *settings: str) -> None:
        self.store, self.port = store, free_port()
        self.url, self.log = f"http://127.0.0.1:{self.port}", store / "api-test.log"
        with open(self.log, "w") as sink:
            self.process = start(store, self.port, *settings, sink=sink)
        self.wait(lambda: "endpoint" in self.output() and self._answers(), "the endpoint to come up", 300)

    def output(self) -> str:
        return self.log.read_text()

    @property
    def token(self) -> str:
        return (self.store / "api" / "token").read_text().strip()

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of a request, a POST where it has a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text.startswith(b"{") else {"text": text.decode()}

    def wait(self, done: Callable[[], Any], what: str, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert self.process.poll() is None, f"the endpoint ended: {self.output()}"
            assert time.monotonic() < deadline, f"no {what} within {timeout_s} s: {self.output()[-3000:]}"
            time.sleep(0.05)

    def stop(self) -> int:
        """The exit status after Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def _answers(self) -> bool:
        try:
            return self.ask("/health")[0] == 200
        except OSError:
            return False


class Asking:
    """Threads that send one request again and again while the block runs; what came back is counted by status."""

    def __init__(
        self, api: Api, path: str, body: Any, threads: int, check: Callable[[Any], None] = lambda answer: None
    ) -> None:
        self.statuses: Counter[int] = Counter()  # 0: no answer at all
        self._problems: list[BaseException] = []
        self._over, self._guard = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(api, path, body, check)) for _ in range(threads)]

    def _ask(self, api: Api, path: str, body: Any, check: Callable[[Any], None]) -> None:
        while not self._over.is_set() and not self._problems:
            try:
                status, answer = api.ask(path, body)
            except OSError:
                status, answer = 0, None
            with self._guard:
                self.statuses[status] += 1
                if status == 200:
                    try:
                        check(answer)
                    except AssertionError as error:
                        self._problems.append(error)

    def raise_problems(self) -> None:
        """Raise the first failure of the check."""
        if self._problems:
            raise self._problems[0]

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
