"""`python -m flows serve` as a process of its own, and its API as a person or a script uses it."""

import base64
import contextlib
import http.client
import inspect
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from flows import recipes
from flows.serve.forms import CONF
from flows.serve.processes import descendants
from flows.serve.server import free_port
from genrec.store.local import Artifact
from tasks.stage import Stage
from tests.e2e.conftest import ROOT, SHOP, TINY

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
LONG_SFT = ["sft.epochs=60", "sft.patience=60", "sft.checkpoint_every_s=0"]  # long enough to be killed in the middle


def clean_environment(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "RAY_", "GENREC_"))} | more


def tiny_settings() -> list[str]:
    """tests/tiny.yaml as the lines of a form."""

    def lines(value: Any, at: str) -> list[str]:
        if isinstance(value, dict):
            return [line for name, inner in value.items() for line in lines(inner, f"{at}.{name}" if at else name)]
        return [f"{at}={json.dumps(value)}"]

    return [*lines(yaml.safe_load(TINY.read_text()), ""), *SHOP]


class Served:
    """A `serve` that is up; `stop` is Ctrl-C."""

    def __init__(self, store: Path, **environment: str) -> None:
        self.store, self.port = store, free_port()
        self.url, self.log = f"http://127.0.0.1:{self.port}", store / "serve-test.log"
        store.mkdir(parents=True, exist_ok=True)
        with open(self.log, "w") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows", "serve", "--store", str(store), "--port", str(self.port)],
                cwd=ROOT, stdout=sink, stderr=sink, start_new_session=True, env=clean_environment(**environment),
            )  # fmt: skip
        self.wait(lambda: "Ctrl-C" in self.output(), "serve to come up", 600)

    def output(self) -> str:
        return self.log.read_text()

    @property
    def password(self) -> str:
        return (self.store / "prefect" / "password").read_text().strip()

    def call(self, method: str, path: str, body: Any = None, password: str | None = "") -> Any:
        """The API's JSON, or (status, text) of an error. password None: without one."""
        headers = {"Content-Type": "application/json"}
        if password is not None:
            headers["Authorization"] = _basic(password or self.password)
        request = urllib.request.Request(
            f"{self.url}/api{path}", None if body is None else json.dumps(body).encode(), headers, method=method
        )
        for attempt in range(10):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                if error.code != 503 or attempt == 9:
                    return error.code, error.read().decode()
                time.sleep(1)  # SQLite is busy: Prefect's client and UI ask again, too

    def page(self, path: str, password: str | None = "") -> tuple[int, bytes]:
        """Status and content of a page of the server's port. password None: without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {} if password is None else {"Authorization": _basic(password or self.password)}
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def deployment(self, name: str = "retrain") -> dict[str, Any]:
        flow = "retrain" if name == "retrain-nightly" else name
        return self.call("GET", f"/deployments/name/{flow}/{name}")

    def start(self, name: str = "retrain", named: str = "", **parameters: Any) -> Any:
        """Ask for a tiny run; its id, or the refusal. `named`: what the user types for a name."""
        settings = tiny_settings() + parameters.pop("settings", [])
        body = {"parameters": {"settings": settings, **parameters}, **({"name": named} if named else {})}
        made = self.call("POST", f"/deployments/{self.deployment(name)['id']}/create_flow_run", body)
        return made["id"] if isinstance(made, dict) else made

    def state(self, run: str) -> str:
        return self.call("GET", f"/flow_runs/{run}")["state"]["name"]

    def finished(self, run: str, timeout_s: float = 600) -> str:
        def over() -> bool:
            return self.call("GET", f"/flow_runs/{run}")["state"]["type"] in FINAL

        self.wait(over, f"run {run} to end", timeout_s)
        return self.state(run)

    def retry(self, run: str) -> None:
        """What the Retry button does; returns when the second attempt has begun."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        answer = self.call("POST", f"/flow_runs/{run}/set_state", {"state": state, "force": True})
        assert answer["status"] == "ACCEPT", answer
        self.wait_for_attempt(run, 2)

    def wait_for_attempt(self, run: str, number: int) -> None:
        self.wait(
            lambda: self.call("GET", f"/flow_runs/{run}")["run_count"] == number, f"attempt {number} of {run} to begin"
        )

    def in_training(self, *settings: str, **parameters: Any) -> Any:
        """A run in the middle of a long sft, with a checkpoint of its own."""
        seen = checkpoints(self.store)
        run = self.start(settings=[*LONG_SFT, *settings], until="sft", **parameters)
        self.wait(lambda: checkpoints(self.store) - seen, "a checkpoint of sft")
        return run

    def obstruct(self, stage: Stage, settings: list[str], keys: dict[str, str]) -> Path:
        """Make the stage of a tiny run fail: a file where it wants its folder. `keys`: of the stages before it, by name."""
        config = recipes.apply("default", [CONF / "demo.yaml"], [*tiny_settings(), *settings])
        read = list(inspect.signature(stage.function).parameters.values())[1:]  # after the job
        reads = [each.name for each in read if each.default is each.empty]  # others are there where the config asks
        inputs = {name: Artifact(keys[name], name, Path(), "", {}, 0.0) for name in reads}
        file = self.store / "work" / stage.key(config, inputs)[0]
        file.write_text("a file where the stage wants its folder")
        return file

    def tasks(self, run: str) -> dict[str, str]:
        """Task name -> name of its state, for the newest task run of each name."""
        body = {"flow_runs": {"id": {"any_": [run]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return {t["name"]: t["state"]["name"] for t in self.call("POST", "/task_runs/filter", body) if t["state"]}

    def progress(self, run: str) -> list[dict[str, Any]]:
        """The artifacts that show how far its stages are."""
        body = {"artifacts": {"flow_run_id": {"any_": [run]}, "type": {"any_": ["progress"]}}}
        return self.call("POST", "/artifacts/filter", body)

    def was_stopped(self, run: str) -> bool:
        """Whether it is cancelled and says what to do next. None of its task runs may seem to be at work."""
        state, tasks = self.call("GET", f"/flow_runs/{run}")["state"], self.tasks(run)
        assert set(tasks.values()) <= {"Cached", "Completed", "Cancelled"}, tasks
        return state["name"] == "Cancelled" and "press Retry" in state["message"]

    def logs(self, run: str) -> list[dict[str, Any]]:
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        return self.call("POST", "/logs/filter", body)

    def wait(self, condition: Callable[[], Any], what: str, timeout_s: float = 600) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if condition():
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass  # a server that is being started again
            assert self.process.poll() is None, f"serve ended:\n{self.output()[-3000:]}"
            assert time.monotonic() < deadline, f"timed out waiting for {what}:\n{self.output()[-3000:]}"
            time.sleep(0.2)

    def below(self) -> list[int]:
        """The processes that it started, and theirs."""
        return descendants(self.process.pid)

    def stop(self, number: signal.Signals = signal.SIGINT) -> list[int]:
        """Signal it and wait; returns the processes it had, to look whether any is left."""
        pids = [self.process.pid, *self.below()]
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(90)
        return pids


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(password.encode()).decode()


def checkpoints(store: Path) -> set[Path]:
    """The checkpoints that sft has written so far."""
    beside = (".json", ".partial", ".worker-log")
    return {p for p in (store / "work").glob("sft-*/*") if p.suffix not in beside}


def named(pids: list[int], mark: str) -> list[int]:
    """Those of the processes whose command line holds `mark`."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(pid)
    return found


def listening(pids: list[int]) -> set[str]:
    """The addresses at which these processes wait for connections."""
    sockets = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    sockets.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                words = bytes.fromhex(fields[1].partition(":")[0])
                packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                address = ipaddress.ip_address(packed)
                found.add(str(getattr(address, "ipv4_mapped", None) or address))
    return found


def left_over(pids: list[int], store: Path) -> list[str]:
    """The command lines of those processes that still run, and of any that works on this store."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if command and int(folder.name) != os.getpid() and (int(folder.name) in pids or str(store) in environment):
            found.append(command)
    return found
