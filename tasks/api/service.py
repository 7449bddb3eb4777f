"""What the routes work with: the model, the event log, the queue in front of the search, and the threads they run in.

The event loop parses and writes HTTP. One thread searches, one makes new snapshots (`tasks.api.live`), a few talk to the
database. torch releases the interpreter's lock while it computes, so that HTTP goes on beside a search.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from genrec.config import ApiConfig
from genrec.event_log import Event, EventLog, Receipt
from genrec.serve.experiment import CANDIDATE, CONTROL, Arm, Experiment, ImpressionLog
from genrec.serve.query import Query
from tasks.api.arms import Asked, Shown, answered
from tasks.api.batching import Batcher
from tasks.api.errors import ApiError
from tasks.api.histories import Seen, together
from tasks.api.journal import Change, Journal
from tasks.api.live import Live, ModelSource
from tasks.api.logs import log
from tasks.api.metrics import Metrics

SERVICE, BESIDE = "service", "beside"  # what a request calls the models
_DATABASE_THREADS = 4
_T = TypeVar("_T")


class Trial(NamedTuple):
    """An experiment (`genrec.serve.experiment`) and where it is noted what was shown."""

    experiment: Experiment
    impressions: ImpressionLog


class Service:
    """One endpoint. Use it inside `running`; its coroutines belong to that event loop.

    Args:
        config: section api.
        source: where the model comes from.
        events: the log; closed at the end.
        journal: changes of the catalogue; closed at the end.
        token: that requests have to bring.
        beside: where another model comes from, that answers those who ask for it; the candidate of an experiment.
        trial: the experiment that runs; its impressions are closed at the end.
    """

    def __init__(
        self,
        config: ApiConfig,
        source: ModelSource,
        events: EventLog,
        journal: Journal,
        token: str,
        beside: ModelSource | None = None,
        trial: Trial | None = None,
    ) -> None:
        self.config, self.token = config, token
        self._source, self._events, self._journal, self._beside = source, events, journal, beside
        self._trial = trial
        self._coins = secrets.token_hex(8)  # of interleaved lists: a client who names its requests must not choose them
        self.metrics = Metrics(lambda: len(self._batcher), self._ranking_counted)
        self._search = ThreadPoolExecutor(1, "search")
        self._changes = ThreadPoolExecutor(1, "changes")
        self._database = ThreadPoolExecutor(_DATABASE_THREADS, "database")
        self._writes: Counter[ThreadPoolExecutor] = Counter()  # that wait or are at work, by their threads
        self._batcher: Batcher[Asked, Shown] = Batcher(
            self._answer,
            self._search,
            max_batch=config.max_batch,
            wait_s=config.batch_wait_ms / 1000,
            max_queue=config.max_queue,
            deadline_s=config.deadline_ms / 1000,
            seen=self.metrics.batch_seen,
        )
        self.live: Live
        self.beside: Live | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the model, answer until the block is left, then close everything."""
        import torch

        torch.set_num_threads(self.config.num_threads)
        watcher = None
        try:
            self.live = await self._in(self._changes, lambda: Live(self._source, self._journal, self.metrics))
            if (beside := self._beside) is not None:  # its reloads are not those of the model in service
                unseen = Metrics(lambda: 0)
                self.beside = await self._in(
                    self._changes, lambda: Live(beside, self._journal, unseen, "model beside it")
                )
            self._batcher.start()
            watcher = asyncio.get_running_loop().create_task(self._watch())
            yield
        finally:
            if watcher is not None:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
            await self._batcher.stop()
            for threads in (self._search, self._changes, self._database):
                await asyncio.to_thread(threads.shutdown, cancel_futures=True)
            self._events.close()
            self._journal.close()
            if self._trial is not None:  # last: it raises where its rows cannot be written
                await asyncio.to_thread(self._trial.impressions.close)

    # ---- what routes ask for ----------------------------------------------------------------------------------------

    async def answer(
        self, query: Query, model: str = SERVICE, user_id: str | None = None, request_id: str = ""
    ) -> Shown:
        """The answer of a model; for a user of the experiment that of the user's arm, which is noted as shown.

        Raises ApiError 503 where the queue is full, 504 after the deadline, 422 for no such model.
        """
        self.live_of(model)
        arm: Arm = CONTROL if model == SERVICE else CANDIDATE
        trial = self._trial if model == SERVICE and user_id is not None else None
        if trial is not None:
            arm = trial.experiment.assign(str(user_id))
        shown = await self._batcher.answer(Asked(query, arm, self._coins + request_id))
        answer = shown.answer
        if trial is not None:
            ids = [item.item_id for item in answer.items]
            trial.impressions.log(request_id, str(user_id), arm, ids, shown.teams, answer.model_key)
        self.metrics.answers.labels(answer.source).inc()
        self.metrics.unknown.inc(len(answer.unknown))
        return shown

    def live_of(self, model: str) -> Live:
        """The model of a name of `models`. Raises ApiError 422 that names those there are."""
        if model not in self.models:
            raise ApiError(
                422, "invalid", f"model: no model {model!r} answers here; there is {' and '.join(self.models)}"
            )
        return self.models[model]

    @property
    def models(self) -> dict[str, Live]:
        """The models that answer, by the name that a request asks for them by."""
        return {SERVICE: self.live} | ({} if self.beside is None else {BESIDE: self.beside})

    async def history_of(self, user_id: str) -> list[str]:
        """Item ids of a user, oldest first: of the data that the model was trained on, and of the newest
        `max_history` events of the log; each item once where the model learned so.

        Raises what `EventLog.history` raises, and ApiError 504 where the log takes longer than a request may.
        """
        loaded, most = self.live.snapshot.loaded, self.config.max_history
        try:
            async with asyncio.timeout(self.config.deadline_ms / 1000):
                logged = await self._in(self._database, self._events.history, user_id, most, loaded.kept_events)
        except TimeoutError:
            problem = f"the event log gave no history within {self.config.deadline_ms / 1000:g} s"
            raise ApiError(504, "deadline", problem, 1) from None
        seen = [Seen(event.timestamp, event.item_id) for event in logged]
        return together(loaded.histories(user_id), seen, loaded.dedupe)[-most:]

    async def keep_events(self, events: Sequence[Event]) -> list[Receipt]:
        """Store events; what is returned is durable.

        Raises what `EventLog.append` raises, and ApiError 503 where as many calls wait as may.
        """
        receipts = await self._in_turn(self._database, self._events.append, events)
        self.metrics.events.inc(sum(not receipt.repeated for receipt in receipts))
        return receipts

    async def change_catalogue(self, change: Change) -> dict[str, Any]:
        """Take over a change of the catalogue; what it did.

        Raises what `Live.change` raises, and ApiError 503 where as many calls wait as may.
        """
        done = await self._in_turn(self._changes, self.live.change, change)
        if self.beside is not None:
            await self._bring_up_to_date(self.beside)
        return done

    async def beside_the_search(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Run work of the model that is no ranking (an explanation, say) in the thread that searches, in its turn."""
        return await self._in(self._search, work, *arguments)

    # ---- inside -------------------------------------------------------------------------------------------------------

    def _answer(self, asked: Sequence[Asked]) -> Sequence[Shown]:
        """A batch, by one snapshot of each model, whatever is swapped meanwhile."""
        candidate = None if self.beside is None else self.beside.snapshot.engine
        return answered(asked, self.live.snapshot.engine, candidate)

    def _ranking_counted(self) -> Mapping[str, int]:
        ranking = getattr(self.live.snapshot.engine, "ranking", None) if hasattr(self, "live") else None
        return {} if ranking is None else ranking.counted

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.config.reload_every_s)
            for live in self.models.values():
                await self._bring_up_to_date(live)

    async def _bring_up_to_date(self, live: Live) -> None:
        try:
            await self._in(self._changes, live.refresh)
        except Exception as error:
            log(logging.ERROR, "the model and the catalogue could not be brought up to date", error)

    async def _in_turn(self, threads: ThreadPoolExecutor, work: Callable[..., _T], *arguments: Any) -> _T:
        """`_in` with a bound, so that requests do not pile up behind a slow database. What began is never given up: whether
        it was stored would not be known.
        """
        if self._writes[threads] >= self.config.max_queue:
            problem = (
                f"{self._writes[threads]} writes are waiting already; nothing of this one was stored, try again later"
            )
            raise ApiError(503, "queue_full", problem, 1)
        self._writes[threads] += 1
        try:
            return await self._in(threads, work, *arguments)
        finally:
            self._writes[threads] -= 1

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)
