"""What `bench_api` measures: the endpoint, the usual way, the bare search, and load on them, each on its core."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from genrec.search.decode import rank_users
from genrec.serve.engine import Engine
from tests.bench import api_load, api_model
from tests.bench.api_servers import TOKEN, Server, environment, free_port, pinned, python, running

K = 10
PATH = "/v1/recommend"
Run = dict[str, Any]


class Sides:
    """A model, the histories to ask it for, the cores to use, and the measurements by them."""

    def __init__(self, folder: Path, model: Path, histories: list[np.ndarray], cores: tuple[int, int] | None) -> None:
        self.folder, self.model, self.histories = folder, model, histories
        self.server_core, self.load_core = cores or (None, None)
        self.engine: Engine = api_model.load(model).engine
        ids = self.engine.catalogue.item_ids
        self.bodies = [{"history": [ids[item] for item in history], "k": K} for history in histories]

    def endpoint(self, settings: Sequence[str] = ()) -> AbstractContextManager[tuple[Server, float]]:
        """The endpoint, and the seconds from its start to its first list."""
        port = free_port()
        options = [option for setting in settings for option in ("--set", setting)]
        command = python(
            "flows", "api", "--export", self.model, "--store", self.folder / "home", "--port", port, *options,
            core=self.server_core,
        )  # fmt: skip
        ask = api_load.request_bytes(PATH, self.bodies[0], TOKEN)
        return running(command, port, self.folder / "endpoint.log", ask)

    def peer(self) -> AbstractContextManager[tuple[Server, float]]:
        """The usual way."""
        port = free_port()
        command = python("tests.bench.api_peer", self.model, "--port", port, core=self.server_core)
        return running(command, port, self.folder / "peer.log")

    def bare(self, seconds: float) -> Run:
        """The bare search over the histories again and again, on the endpoint's core."""
        users, engine = 0, self.engine
        with on_core(self.server_core):
            start, cpu = time.perf_counter(), time.process_time()
            while time.perf_counter() - start < seconds:
                rank_users(
                    engine.policy, self.histories, engine.catalogue.sids, engine.catalogue.trie, engine.beam_width,
                    scores=engine.scores,
                )  # fmt: skip
                users += len(self.histories)
            took, cpu = time.perf_counter() - start, time.process_time() - cpu
        return {"per_s": users / took, "cpu_ms": 1000 * cpu / users}

    def load(self, server: Server, seconds: float, **how: Any) -> Run:
        """Load on a server by a process of its own; adds the server's CPU time for an answer and how it batched."""
        order = {"port": server.port, "path": PATH, "bodies": self.bodies, "token": TOKEN, "seconds": seconds, **how}
        cpu = server.cpu_s()
        done = subprocess.run(
            python("tests.bench.api_load", core=self.load_core), input=json.dumps(order).encode(),
            stdout=subprocess.PIPE, env=environment(), check=True,
        )  # fmt: skip
        outcome = json.loads(done.stdout)
        return {**outcome, "cpu_ms": 1000 * (server.cpu_s() - cpu) / max(1, outcome["all_answers"])}

    def locust(self, server: Server, seconds: int, clients: int) -> Run:
        """Closed loop by locust on the load's core: its rate, and the CPU time a request costs it."""
        bodies = self.folder / "bodies.json"
        bodies.write_text(json.dumps(self.bodies))
        arguments = [
            "-f", Path(__file__).with_name("api_locust.py"), "--headless", "--users", clients, "--spawn-rate", clients,
            "--run-time", seconds, "--json", "--host", f"http://127.0.0.1:{server.port}",
        ]  # fmt: skip
        before = _children_cpu_s()
        done = subprocess.run(
            python("locust", *arguments, core=self.load_core), capture_output=True, check=True,
            env={**environment(), "BODIES": str(bodies), "TOKEN": TOKEN},
        )  # fmt: skip
        found = json.loads(done.stdout)[0]
        return {
            "per_s": found["num_requests"] / (found["last_request_timestamp"] - found["start_time"]),
            "failures": found["num_failures"],
            "cpu_ms": 1000 * (_children_cpu_s() - before) / found["num_requests"],
        }

    def start_in_python(self) -> float:
        """Seconds from the start of a Python process to the first list of a loaded `Recommender`."""
        code = (
            "import sys; from genrec import Recommender; "
            f"print(Recommender.load(sys.argv[1]).recommend({self.bodies[0]['history']!r}))"
        )
        command = [*pinned(self.server_core), sys.executable, "-c", code, str(self.model)]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
        return time.perf_counter() - start

    def same_lists(self, server: Server, number: int = 64) -> float:
        """Share of the endpoint's lists that are those of the engine in this process."""
        histories = self.histories[:number]
        items, _ = self.engine.rank(histories, K, banned=histories)
        ids = self.engine.catalogue.item_ids
        same = 0
        for body, row in zip(self.bodies, items, strict=False):
            answer = json.loads(server.post(PATH, body))
            same += [item["item_id"] for item in answer["items"]] == [ids[item] for item in row if item >= 0]
        return same / number


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """This process on one core."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
