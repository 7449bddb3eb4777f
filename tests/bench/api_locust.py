"""locust's fastest user (geventhttpclient) with the requests of a file, in closed loop: what a load by locust costs.

BODIES=bodies.json TOKEN=... locust -f tests/bench/api_locust.py --headless --users 64 --spawn-rate 64 --run-time 10 --host ...
"""

import itertools
import json
import os
from pathlib import Path

from locust import FastHttpUser, constant, task

_BODIES = itertools.cycle(json.loads(Path(os.environ["BODIES"]).read_text()))
_HEADERS = {"Authorization": f"Bearer {os.environ['TOKEN']}"}


class Customer(FastHttpUser):
    wait_time = constant(0)

    @task
    def recommend(self) -> None:
        self.client.post("/v1/recommend", json=next(_BODIES), headers=_HEADERS)
