"""How fast a stage gets on: what is left of its time, and when it is worth saying so again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

EVERY_S = 10.0  # at most one line in a log, and one update in the UI, in so many seconds


@dataclass
class Pace:
    """Of one stage; `share` is the part of its work that is done, from 0 to 1."""

    clock: Callable[[], float] = time.monotonic
    _first: tuple[float, float] | None = None  # (time, share) when it was first seen: it may go on from a checkpoint
    _highest: float = 0.0
    _said: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def left_s(self, share: float) -> float | None:
        """Seconds that the rest takes at the speed so far; None while there is none."""
        now = self.clock()
        if self._first is None or share < self._highest - 0.1:  # it began again: another pass, or another attempt
            self._first, self._highest = (now, share), share
        self._highest = max(self._highest, share)
        seconds, done = now - self._first[0], share - self._first[1]
        return seconds * (1 - share) / done if done > 0 and seconds > 0 else None

    def due(self, what: str, share: float, steps: int = 0) -> bool:
        """Whether `what` is to be said now: EVERY_S after the last time, or after the start of the stage.

        With `steps` only so many times over the whole stage, while it gets on; in any case after five minutes.
        """
        now = self.clock()
        at, then = self._said.get(what, (self._began, 0.0))
        if now - at < EVERY_S or (steps and share - then < 1 / steps and now - at < 30 * EVERY_S):
            return False
        self._said[what] = (now, share)
        return True


def roughly(seconds: float) -> str:
    """45 s, 12 min, 3 h 20 min: as exact as an estimate is."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60 // 10 * 10:02d} min"


def so_far(stage: str, share: float, left_s: float | None) -> str:
    """`sft 40%, 2 min left`."""
    return f"{stage} {share:.0%}" + (f", {roughly(left_s)} left" if left_s is not None and share < 1 else "")
