"""The endpoint in the test process: tiny models over a random catalogue, its files in a folder of the test's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from genrec.config import ApiConfig
from genrec.errors import DataError
from genrec.event_log import open_log
from genrec.event_log.database import Database
from genrec.serve.catalogue import Catalogue
from genrec.serve.engine import Engine
from tasks.api.app import build_app
from tasks.api.histories import Histories, no_histories
from tasks.api.journal import Journal
from tasks.api.live import Loaded
from tasks.api.service import Service, Trial
from tests.support.lm_tiny import NUM_CODES, random_sids, tiny_policy

TOKEN = "the-token-of-the-tests"
NUM_ITEMS = 40


def api_catalogue(num_items: int = NUM_ITEMS) -> Catalogue:
    """Items i0, i1, ...; i0 is the most popular; every other one is a mug, the rest are trays."""
    categories = [("Kitchen", "Mugs" if i % 2 else "Trays") for i in range(num_items)]
    return Catalogue(
        [f"i{i}" for i in range(num_items)], [f"thing {i}" for i in range(num_items)], ["brand"] * num_items,
        categories, random_sids(num_items, seed=3), NUM_CODES, np.arange(num_items)[::-1].copy(),
    )  # fmt: skip


def api_engine(model_key: str = "model-a", seed: int = 0) -> Engine:
    """Random weights by the seed: two seeds rank differently."""
    return Engine(tiny_policy(seed), api_catalogue(), model_key)


class FreeIds:
    """Gives new items the first ids that are not taken, and vectors of zeros."""

    def give(self, items, taken):
        everything = np.stack(np.unravel_index(np.arange(NUM_CODES**3), (NUM_CODES,) * 3), axis=1)
        used = {tuple(sid) for sid in taken.tolist()}
        free = [sid for sid in everything.tolist() if tuple(sid) not in used]
        if any(item.title == "impossible" for item in items):
            raise DataError("new items: no id is left")
        return np.zeros((len(items), 4), np.float32), np.array(free[: len(items)], dtype=np.int32)


class Shelf:
    """A source whose model is exchanged by hand: engines by version, and which one is in service."""

    def __init__(
        self, histories: Histories = no_histories, kept_events: frozenset[str] | None = None, dedupe: bool = True
    ) -> None:
        self.engines: dict[Hashable, Any] = {0: api_engine()}
        self.in_service: Hashable = 0
        self._histories, self._learned_from = histories, (kept_events, dedupe)

    def version(self) -> Hashable:
        return self.in_service

    def load(self) -> Loaded:
        engine = self.engines[self.in_service]
        if isinstance(engine, Exception):
            raise engine
        where = f"version {self.in_service}"
        return Loaded(engine, FreeIds(), where, self.in_service, self._histories, *self._learned_from)


def api_service(
    folder: Path,
    source: Shelf | None = None,
    beside: Shelf | None = None,
    trial: Trial | None = None,
    clock: Callable[[], float] = time.time,
    **settings: Any,
) -> Service:
    """A service whose events and changes are in a folder; one opened there later finds them."""
    place = str(folder / "events.sqlite")
    log = open_log(place, busy_timeout_s=0.05, clock=clock)
    journal = Journal(Database(place, True, 0.05))
    settings = {"deadline_ms": 120_000} | settings  # no test waits for a deadline by mistake, however slow the machine
    return Service(ApiConfig(**settings), source or Shelf(), log, journal, TOKEN, beside, trial)


@contextlib.contextmanager
def api_client(service: Service) -> Iterator[TestClient]:
    """A client of the application in this process, which runs while the block does; it sends the token."""
    with TestClient(build_app(service), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client
