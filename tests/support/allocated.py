"""What torch's CPU allocator really gives out, in the place of `genrec.plan.memory.Memory`."""

import gc
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from genrec.plan.memory import Memory


class Allocated(Memory):
    """Takes the labels of the steps of `genrec.plan.steps`, and has torch's profiler record every allocation of the last one.

    It is never entered: what is counted are lasting tensors and the allocator's own events.
    """

    def __init__(self) -> None:
        super().__init__({}, "cpu", round_up=False)
        self._profile: profile | None = None

    def start_again(self) -> None:
        gc.collect()
        self._lasting = sum(self.now.values())
        self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        self._profile.__enter__()

    def peak_of(self, run: Callable[["Allocated"], None]) -> int:
        """Most bytes at a time: what lasts, and what the step that was counted last had beside it."""
        run(self)
        assert self._profile is not None
        self._profile.__exit__(None, None, None)
        assert self._profile.profiler is not None
        recorded = self._profile.profiler.kineto_results.events()
        events = sorted((e.start_ns(), e.nbytes()) for e in recorded if e.name() == "[memory]")
        held = most = 0
        for _, size in events:
            held += size
            most = max(most, held)
        return self._lasting + most
