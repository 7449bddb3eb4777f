"""The model that answers, as a snapshot that is swapped by reference: a batch reads it once and never sees half a change.

Everything that makes another snapshot runs in one thread, one thing after another: another model in service, a change of
the catalogue, changes that another endpoint of the same database kept. The searches go on meanwhile.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from genrec.errors import GenrecError
from genrec.serve.new_items import NewItem, NewItemIds
from tasks.api.errors import ApiError
from tasks.api.histories import Histories, no_histories
from tasks.api.journal import Change, Journal
from tasks.api.logs import log
from tasks.api.metrics import Metrics

_RETRY_FIRST_S, _RETRY_LONGEST_S = 2.0, 300.0  # between attempts to load a model that could not be loaded


class ModelSource(Protocol):
    """Where the model to serve comes from."""

    def version(self) -> Hashable:
        """Which one it is now; cheap. Another value means another model."""

    def load(self) -> Loaded:
        """That model, ready to answer. Raises GenrecError where it is not whole."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a source loads.

    engine: that answers (`genrec.serve.engine.Engine`). new_ids: gives ids to items that come in. where: what was loaded,
    in words.
    histories: of the users of the data it was trained on. kept_events: the types of events that it learns from; None: all.
    dedupe: it learns from a user's first event with an item alone (`prepare.dedupe`).
    """

    engine: Any
    new_ids: NewItemIds
    where: str
    version: Hashable
    histories: Histories = no_histories
    kept_events: frozenset[str] | None = None
    dedupe: bool = True


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What a batch is answered with.

    engine: that of `loaded`, over its catalogue with all changes. change: number of the last of them. since_unix_s: when
    the model began to answer.
    """

    loaded: Loaded
    engine: Any
    change: int
    since_unix_s: float

    @property
    def model_key(self) -> str:
        return self.engine.model_key


class Live:
    """Keeps `snapshot` up to date. All methods are called in one thread; `snapshot` may be read in any."""

    def __init__(self, source: ModelSource, journal: Journal, metrics: Metrics, role: str = "model in service") -> None:
        """`role` is what the log calls the model."""
        self._source, self._journal, self._metrics, self._role = source, journal, metrics, role
        self._failed: tuple[Hashable, float, float] | None = None  # version, next attempt, seconds until the one after
        self.problem = ""  # why the newest model does not answer; "" where it does
        self.snapshot = self._loaded()
        self._tell()

    def refresh(self) -> None:
        """Take over another model in service and changes that others kept; what cannot be taken is retried later."""
        try:
            version = self._source.version()
        except Exception as error:  # a store that cannot be reached: the model stays
            self._note_problem(f"the store does not say which model is in service: {error}")
            return
        if version != self.snapshot.loaded.version:
            self._reload(version)
        else:
            self._failed, self.problem = None, ""
            self._catch_up()

    def change(self, change: Change) -> dict[str, Any]:
        """Take over a change of the catalogue, kept on the disk before it counts; what it did, by item ids.

        Raises ApiError 422 for items that cannot be encoded, 503 where it could not be kept; then nothing changed.
        """
        self._catch_up()
        known = [item["item_id"] for item in change.items if self._knows(item["item_id"])]
        new = [item for item in change.items if item["item_id"] not in known]
        # A new item comes in in stock, whatever was said of its id while it was not there.
        kept = Change({item["item_id"]: True for item in new} | change.stock, new)
        try:
            engine = self._changed(kept)
        except GenrecError as error:
            raise ApiError(422, "invalid", str(error)) from None
        before, number = self._journal.append(kept)
        if before == self.snapshot.change:
            self.snapshot = dataclasses.replace(self.snapshot, engine=engine, change=number)
        else:  # another endpoint kept one since: both, in their order
            self._catch_up()
        unknown = [item_id for item_id in change.stock if not self._knows(item_id)]
        return {"added": [item["item_id"] for item in new], "known": known, "unknown": unknown, "change": number}

    def _knows(self, item_id: str) -> bool:
        return self.snapshot.engine.catalogue.index(item_id) is not None

    def _reload(self, version: Hashable) -> None:
        now = time.monotonic()
        if self._failed and self._failed[0] == version and now < self._failed[1]:
            return
        try:
            self.snapshot = self._loaded()
        except Exception as error:
            wait = self._failed[2] if self._failed and self._failed[0] == version else _RETRY_FIRST_S
            self._failed = (version, now + wait, min(2 * wait, _RETRY_LONGEST_S))
            self._metrics.reloads.labels("failed").inc()
            self._note_problem(
                f"the model in service now cannot be loaded: {error}; {self.snapshot.loaded.where} goes on serving"
            )
        else:
            self._failed, self.problem = None, ""
            self._tell()

    def _loaded(self) -> Snapshot:
        """The model of the source with all changes of the catalogue, after a first search (it allocates and compiles)."""
        loaded = self._source.load()
        number, change = self._journal.after(0)
        engine = _taken_over(loaded, loaded.engine, change)
        engine.warm_up()
        return Snapshot(loaded, engine, number, time.time())

    def _catch_up(self) -> None:
        """Take over what other endpoints of the same database kept."""
        number, change = self._journal.after(self.snapshot.change)
        if number != self.snapshot.change:
            engine = _taken_over(self.snapshot.loaded, self.snapshot.engine, change)
            self.snapshot = dataclasses.replace(self.snapshot, engine=engine, change=number)

    def _changed(self, change: Change) -> Any:
        return changed(self.snapshot.engine, change, self.snapshot.loaded.new_ids)

    def _tell(self) -> None:
        snapshot = self.snapshot
        self._metrics.reloads.labels("ok").inc()
        self._metrics.model.info({"model_key": snapshot.model_key, "where": snapshot.loaded.where})
        log(logging.INFO, self._role, model_key=snapshot.model_key, where=snapshot.loaded.where)

    def _note_problem(self, problem: str) -> None:
        if problem != self.problem:
            log(logging.ERROR, problem)
        self.problem = problem


def changed(engine: Any, change: Change, new_ids: NewItemIds) -> Any:
    """The engine over its catalogue with a change; items that it knows already and stock of those it does not are left out.

    Raises GenrecError for a new item that gets no id.
    """
    catalogue = engine.catalogue.with_items([NewItem(**item) for item in change.items], new_ids)
    stock = {item_id: there for item_id, there in change.stock.items() if catalogue.index(item_id) is not None}
    if stock:
        catalogue = catalogue.with_stock(stock)
    return engine if catalogue is engine.catalogue else engine.with_catalogue(catalogue)


def _taken_over(loaded: Loaded, engine: Any, change: Change) -> Any:
    """`changed` by a change that was kept; new items that this model cannot take are left out, and the log names them.

    They came in while another model answered: their vectors may be of its encoder, or this one's encoder may need a vector.
    Such an item waits for a model that knows it; refused as a whole, it would keep every later model out of service.
    """
    try:
        return changed(engine, change, loaded.new_ids)
    except GenrecError:
        new = [NewItem(**item) for item in change.items if engine.catalogue.index(item["item_id"]) is None]
        refused = _refused(new, loaded.new_ids, engine.catalogue.sids)
    for item_id, why in refused.items():
        log(logging.ERROR, f"new item {item_id!r} is left out, {loaded.where} cannot take it: {why}")
    possible = [item for item in change.items if item["item_id"] not in refused]
    return changed(engine, Change(change.stock, possible), loaded.new_ids)


def _refused(items: Sequence[NewItem], new_ids: NewItemIds, taken: Any) -> dict[str, str]:
    """Ids of those of the items that get no semantic id, and why; halving finds a few among many quickly."""
    if not items:
        return {}
    try:
        new_ids.give(items, taken)
    except GenrecError as error:
        if len(items) == 1:
            return {items[0].item_id: str(error)}
        half = len(items) // 2
        return _refused(items[:half], new_ids, taken) | _refused(items[half:], new_ids, taken)
    return {}
