"""Stages of this process compute at the same time only where the cores and GPUs that they reserve are there for all.

Ray alone would let a stage begin whose tasks then wait for cores: it would seem to compute, and a learner could hold
the cores that its own actors need. So a stage waits here until what it reserves is free. One that reserves all cores
computes alone, and of those of one machine that want a GPU one computes at a time.
"""

import contextlib
import threading
from collections.abc import Iterator

from genrec.config import Config
from tasks.ray.capacity import needs_of, there_are
from tasks.ray.watch import watcher
from tasks.stop import POLL_S, stopping

_changed = threading.Condition()  # of the two below
_held: list[tuple[float, float]] = []  # (share of the cores, share of the GPUs) of each stage that computes
_ROUNDING = 1e-9


@contextlib.contextmanager
def room_for(config: Config, stage: str) -> Iterator[None]:
    """Hold for the block what the stage reserves, as soon as it is free. Raises Stopped where the run is stopped first."""
    share = _share(config, stage)
    _take(share, stage)
    try:
        yield
    finally:
        with _changed:
            _held.remove(share)
            _changed.notify_all()


def _share(config: Config, stage: str) -> tuple[float, float]:
    """Shares of all cores and of all GPUs: all of them where it reserves more than there is."""
    (cpus, gpus), (all_cpus, all_gpus) = needs_of(config, stage), there_are(config.resources)
    return _of(cpus, all_cpus), _of(gpus, all_gpus)


def _of(wanted: float, total: float) -> float:
    return min(1.0, wanted / total) if total else float(wanted > 0)


def _take(share: tuple[float, float], stage: str) -> None:
    told = False
    with _changed:
        while not _fits(share):
            if not told:
                watcher().message(f"{stage}: waits for the cores or the GPU that another stage uses")
                told = True
            _changed.wait(POLL_S)
            stopping().check()
        _held.append(share)


def _fits(share: tuple[float, float]) -> bool:
    return all(sum(held) + wanted <= 1 + _ROUNDING for held, wanted in zip(_columns(), share, strict=True))


def _columns() -> tuple[list[float], list[float]]:
    return [cpus for cpus, _ in _held], [gpus for _, gpus in _held]
