"""The queue in front of the search: batches, bound, deadlines, order."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.api.batching import Batcher
from tasks.api.errors import ApiError


class Search:
    """Answers each number with itself; waits for `go` before each batch where it was cleared."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.began = threading.Event()

    def __call__(self, jobs):
        self.batches.append(list(jobs))
        self.began.set()
        assert self.go.wait(30)
        if -1 in jobs:
            raise ValueError("bad batch")
        return list(jobs)


def run(test, **settings):
    """Run a coroutine function on (batcher, search) with a batcher that is up."""

    async def inside():
        search = Search()
        options = {"max_batch": 4, "wait_s": 0.0, "max_queue": 8, "deadline_s": 30.0} | settings
        with ThreadPoolExecutor(1) as thread:
            batcher = Batcher(search, thread, **options)
            batcher.start()
            try:
                return await test(batcher, search)
            finally:
                search.go.set()
                await batcher.stop()

    return asyncio.run(inside())


async def until_searching(search: Search) -> None:
    assert await asyncio.to_thread(search.began.wait, 30)


def test_what_arrives_during_a_search_is_searched_together_in_order():
    async def test(batcher, search):
        search.go.clear()
        first = asyncio.create_task(batcher.answer(0))
        await until_searching(search)
        others = [asyncio.create_task(batcher.answer(n)) for n in range(1, 8)]
        await asyncio.sleep(0)
        search.go.set()
        assert await asyncio.gather(first, *others) == list(range(8))
        assert search.batches == [[0], [1, 2, 3, 4], [5, 6, 7]]

    run(test)


def test_the_first_request_of_an_idle_endpoint_waits_for_those_right_behind_it():
    async def test(batcher, search):
        assert await asyncio.gather(*(batcher.answer(n) for n in range(3))) == [0, 1, 2]
        assert search.batches == [[0, 1, 2]]

    run(test, wait_s=0.001)


def test_one_more_than_the_queue_holds_is_refused_with_503():
    async def test(batcher, search):
        search.go.clear()
        first = asyncio.create_task(batcher.answer(0))
        await until_searching(search)
        waiting = [asyncio.create_task(batcher.answer(n)) for n in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refused:
            await batcher.answer(99)
        assert (refused.value.status, refused.value.error, refused.value.retry_after_s) == (503, "queue_full", 1)
        search.go.set()
        assert await asyncio.gather(first, *waiting) == [0, *range(8)]

    run(test)


def test_a_request_past_its_deadline_gets_504_and_is_not_searched():
    async def test(batcher, search):
        search.go.clear()
        first = asyncio.create_task(batcher.answer(0))
        await until_searching(search)
        late = asyncio.create_task(batcher.answer(1))
        for task in (first, late):
            with pytest.raises(ApiError) as refused:
                await task
            assert (refused.value.status, refused.value.error) == (504, "deadline")
        search.go.set()
        return search.batches

    assert run(test, deadline_s=0.05) == [[0]]


def test_a_request_whose_client_left_is_not_searched():
    async def test(batcher, search):
        search.go.clear()
        first = asyncio.create_task(batcher.answer(0))
        await until_searching(search)
        gone, stays = asyncio.create_task(batcher.answer(1)), asyncio.create_task(batcher.answer(2))
        await asyncio.sleep(0)
        gone.cancel()
        search.go.set()
        assert [await first, await stays] == [0, 2]
        assert search.batches == [[0], [2]]

    run(test)


def test_a_job_that_cannot_be_searched_fails_alone():
    async def test(batcher, search):
        search.go.clear()
        first = asyncio.create_task(batcher.answer(0))
        await until_searching(search)
        bad, good = asyncio.create_task(batcher.answer(-1)), asyncio.create_task(batcher.answer(5))
        await asyncio.sleep(0)
        search.go.set()
        with pytest.raises(ValueError, match="bad batch"):
            await bad
        assert [await first, await good, await batcher.answer(6)] == [0, 5, 6]
        assert search.batches == [[0], [-1, 5], [-1], [5], [6]]

    run(test)


def test_what_waits_when_the_endpoint_stops_gets_503():
    async def test(batcher, search):
        search.go.clear()
        first = asyncio.create_task(batcher.answer(0))
        await until_searching(search)
        waiting = asyncio.create_task(batcher.answer(1))
        await asyncio.sleep(0)
        await batcher.stop()
        for task in (first, waiting):
            with pytest.raises(ApiError) as refused:
                await task
            assert (refused.value.status, refused.value.error) == (503, "stopping")

    run(test)
