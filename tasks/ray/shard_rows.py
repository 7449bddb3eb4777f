"""One row in the Prefect UI for each shard of a stage: a task run that lasts as long as the shard's Ray task."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.states import Cancelled, State

from genrec.redact import without_secrets


@contextlib.contextmanager
def shard_rows(stage: str, what: str | None, num_shards: int) -> Iterator[Callable[[int, BaseException | None], None]]:
    """Show `num_shards` rows named `<stage> <what> <i> of <n>`; call what it yields when a shard ends.

    Nothing is shown without `what`, or outside a flow.
    """
    if what is None or FlowRunContext.get() is None:
        yield lambda shard, error: None
        return
    ends: list[Future[str]] = [Future() for _ in range(num_shards)]
    step = task(name=f"{stage}-shard", cache_policy=NO_CACHE, persist_result=False, retries=0)(_last_until)
    rows: list[Any] = [
        step.with_options(task_run_name=f"{stage} {what} {i + 1} of {num_shards}").submit(_Ended(end))
        for i, end in enumerate(ends)
    ]

    def on_done(shard: int, error: BaseException | None) -> None:
        if error is None:
            ends[shard].set_result("")
        else:
            ends[shard].set_exception(error)

    try:
        yield on_done
    finally:
        for end in ends:
            if not end.done():
                end.set_result("another shard failed, or the stage was stopped")
        for row in rows:
            row.wait()


class _Ended:
    """Wraps the future, which tells why the shard was not worked on to its end, or "": Prefect would resolve a bare one."""

    def __init__(self, end: Future[str]) -> None:
        self.end = end


@without_secrets()
def _last_until(shard: _Ended) -> State | None:
    """A shard of a stage, worked on by Ray."""
    why = shard.end.result()
    return Cancelled(message=why) if why else None
