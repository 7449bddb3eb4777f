"""What infra/compose.yaml starts in containers, started by hand: a Prefect server, a two-node Ray cluster, a worker."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from flows.serve.processes import descendants, end
from flows.serve.server import free_port
from tests.e2e.conftest import ROOT
from tests.support.served import Served, clean_environment

RAY = str(Path(sys.executable).with_name("ray"))
POOL = "by-hand"


class ByHand(Served):
    """Five processes or more, each with the environment that infra gives it; everything on loopback, tokens on."""

    def __init__(self, store: Path, **environment: str) -> None:
        store.mkdir(parents=True, exist_ok=True)
        self.store, self.port, self.log = store, free_port(), store / "by-hand.log"
        self.url = f"http://127.0.0.1:{self.port}"
        self._password, self.ray_token = f"genrec:{secrets.token_urlsafe(12)}", secrets.token_hex(32)
        self.ray_port = free_port()
        # Sockets of Ray have paths of 107 characters at most: a short folder of its own for each node.
        self.folders = [Path(tempfile.mkdtemp(prefix="gr", dir="/tmp")) for _ in range(2)]
        common = {"DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0", "PREFECT_HOME": str(store / "prefect")}
        self.ray_environment = clean_environment(
            **common, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=self.ray_token, **environment
        )
        self.server_environment = clean_environment(
            **common, PREFECT_SERVER_API_AUTH_STRING=self._password, PREFECT_SERVER_ANALYTICS_ENABLED="false"
        )
        self.worker_environment = {
            **self.ray_environment,
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_API_AUTH_STRING": self._password,
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "RAY_ADDRESS": f"127.0.0.1:{self.ray_port}",
            "GENREC_STORE": str(store),
        }
        self.others: list[subprocess.Popen] = []
        self.process = self._start(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)],
            self.server_environment,
        )
        self.wait(lambda: self.call("GET", "/health"), "the Prefect server", 200)
        self.start_head()
        self.node = self.start_node()
        self.wait_for_the_node()
        self.worker = self.start_worker()

    @property
    def password(self) -> str:
        return self._password

    def _start(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
        with open(self.log, "a") as sink:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=sink, stderr=sink, start_new_session=True, env=environment
            )
        self.others.append(process)
        return process

    def start_head(self) -> subprocess.Popen:
        """The head: no cores of its own, so all work is done on the other node."""
        self.head = self._start(
            [RAY, "start", "--head", "--node-ip-address=127.0.0.1", f"--port={self.ray_port}", "--num-cpus=0",
             "--include-dashboard=false", f"--temp-dir={self.folders[0]}", "--object-store-memory=200000000",
             "--min-worker-port=21000", "--max-worker-port=21499", "--block"],
            self.ray_environment,
        )  # fmt: skip
        self.wait(lambda: _answers(self.ray_port), "the Ray head", 120)
        return self.head

    def start_node(self) -> subprocess.Popen:
        return self._start(
            [RAY, "start", f"--address=127.0.0.1:{self.ray_port}", "--node-ip-address=127.0.0.1", "--num-cpus=2",
             "--object-store-memory=200000000", "--min-worker-port=21500", "--max-worker-port=21999", "--block"],
            self.ray_environment,
        )  # fmt: skip

    def kill_head(self) -> None:
        """As if its machine were gone."""
        for pid in [self.head.pid, *descendants(self.head.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.head.wait(20)

    def new_cluster(self) -> None:
        """A head and a node in place of those that were there; a node does not live on without its head."""
        end([self.node.pid, *descendants(self.node.pid)], 15.0)
        self.node.wait(20)
        self.start_head()
        self.node = self.start_node()
        self.wait_for_the_node()

    def wait_for_the_node(self) -> None:
        def here() -> bool:
            if self.node.poll() is not None:  # gone, or too slow for Ray on a busy machine
                self.node = self.start_node()
            return len(self.ray_nodes()) == 2

        self.wait(here, "the second node")

    def start_worker(self) -> subprocess.Popen:
        deployed = subprocess.run(
            [sys.executable, "-m", "flows", "deploy", "--pool", POOL],
            cwd=ROOT, env=self.worker_environment, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        return self._start(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", "w"], self.worker_environment
        )

    def ray_nodes(self) -> list[dict[str, Any]]:
        """What Ray says of its nodes that are alive."""
        code = (
            "import json, ray; ray.init(address='auto', logging_level='ERROR', log_to_driver=False);"
            "print('NODES', json.dumps([n['Resources'] for n in ray.nodes() if n['Alive']]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.worker_environment, cwd=ROOT, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith("NODES ")]
        return json.loads(lines[-1].partition(" ")[2]) if lines else []

    def stop(self, number: signal.Signals = signal.SIGTERM) -> list[int]:
        pids = [p for process in self.others for p in [process.pid, *descendants(process.pid)]]
        end(pids, 15.0)
        for process in self.others:
            process.wait(20)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        return pids


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
