"""Requests that arrive together are searched together: a bounded queue in front of one thread that searches.

While a batch is searched the next one gathers, so that under load no time is spent waiting; `wait_s` only lets a few
more requests join the first one of an idle endpoint. (Ray Serve's `@serve.batch` has neither a bound nor deadlines of
its own, and needs Ray in the process.)
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from tasks.api.errors import ApiError

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class _Waiting(NamedTuple, Generic[_In, _Out]):
    job: _In
    answer: asyncio.Future[_Out]
    since: float  # of the monotonic clock, which no change of the wall clock moves


class Batcher(Generic[_In, _Out]):
    """Answers jobs in batches, in the order of their arrival.

    Args:
        search: a batch -> an answer for each; runs in `thread`, one batch at a time.
        thread: one thread, which may have other users.
        max_batch: jobs of a batch at most.
        wait_s: how long the first job waits for others when nothing is searched.
        max_queue: jobs that may wait; one more is refused with 503.
        deadline_s: a job that has no answer after this gets a 504, and is not searched any more.
        seen: is told of each batch: (its size, the seconds its jobs waited).
    """

    def __init__(
        self,
        search: Callable[[Sequence[_In]], Sequence[_Out]],
        thread: ThreadPoolExecutor,
        max_batch: int,
        wait_s: float,
        max_queue: int,
        deadline_s: float,
        seen: Callable[[int, list[float]], None] = lambda size, waited: None,
    ) -> None:
        self._search, self._thread, self._seen = search, thread, seen
        self._max_batch, self._wait_s, self._max_queue, self._deadline_s = max_batch, wait_s, max_queue, deadline_s
        self._queue: deque[_Waiting[_In, _Out]] = deque()
        self._in_search: list[_Waiting[_In, _Out]] = []
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer, in the event loop that runs."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Answer what waits, and what is being searched, with 503, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        _fail([*self._in_search, *self._queue], ApiError(503, "stopping", "the endpoint is stopping", 1))
        self._queue.clear()

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    async def answer(self, job: _In) -> _Out:
        """The answer of a job. Raises ApiError 503 where the queue is full, 504 after the deadline."""
        if len(self._queue) >= self._max_queue:
            raise ApiError(503, "queue_full", f"{len(self._queue)} requests are waiting already; try again later", 1)
        loop = asyncio.get_running_loop()
        waiting: _Waiting[_In, _Out] = _Waiting(job, loop.create_future(), time.monotonic())
        self._queue.append(waiting)
        self._arrived.set()
        expiry = loop.call_later(self._deadline_s, self._expire, waiting.answer)
        try:
            return await waiting.answer
        finally:
            expiry.cancel()

    def _expire(self, answer: asyncio.Future[_Out]) -> None:
        if not answer.done():
            problem = f"no answer within {self._deadline_s:g} s; the endpoint is overloaded"
            answer.set_exception(ApiError(504, "deadline", problem, 1))

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if self._wait_s and len(self._queue) < self._max_batch:
                await asyncio.sleep(self._wait_s)
            while batch := self._next():
                started, self._in_search = time.monotonic(), batch
                await self._answer_all(batch)
                self._in_search = []
                self._seen(len(batch), [started - w.since for w in batch])
            self._arrived.clear()

    async def _answer_all(self, batch: list[_Waiting[_In, _Out]]) -> None:
        """Search a batch; where that fails, each of its jobs alone: what is wrong with one fails no other."""
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._search, [w.job for w in batch])
        except Exception as error:
            if len(batch) == 1:
                _fail(batch, error)
            else:
                for waiting in batch:
                    await self._answer_all([waiting])
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    def _next(self) -> list[_Waiting[_In, _Out]]:
        """The next batch; what nobody waits for any more (a deadline, a client that left) is dropped."""
        batch: list[_Waiting[_In, _Out]] = []
        while self._queue and len(batch) < self._max_batch:
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                batch.append(waiting)
        return batch


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
