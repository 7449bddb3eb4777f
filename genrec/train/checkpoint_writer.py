"""Checkpoints written while training goes on.

What is on a GPU is copied to pinned memory on a stream of its own, beside the next forward and backward; the update after
that waits for the copies, not the host. A thread writes the file.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType

import torch


class CheckpointWriter:
    """One checkpoint at a time; leaving the block waits for the last one. Raises what writing raised, at the next call."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None  # from the first copy on
        self._copied: torch.cuda.Event | None = None
        self._pinned: dict[str, torch.Tensor] = {}  # by name, used again: to pin memory takes longer than to fill it
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.seconds = 0.0  # that the last file took to write

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
            return
        try:
            self.wait()
        except Exception as problem:  # what ended the training comes first
            error.add_note(f"the last checkpoint could not be written: {problem}")

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Until the checkpoint is written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def copy(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A copy on the host, which is there when `write` writes it; `tensor` may change after `before_update`."""
        self.wait()
        if not tensor.is_cuda:
            return tensor.to("cpu", copy=True).contiguous()
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
        kept = self._pinned.get(name)
        if kept is None or (kept.shape, kept.dtype) != (tensor.shape, tensor.dtype):
            kept = self._pinned[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._stream.wait_stream(torch.cuda.current_stream(tensor.device))
        with torch.cuda.stream(self._stream):
            kept.copy_(tensor, non_blocking=True)
        tensor.record_stream(self._stream)
        return kept

    def write(self, file: Callable[[], None]) -> None:
        """Call `file`, which writes the copies taken, in a thread, as soon as they are complete."""
        self.wait()
        copied = None
        if self._stream is not None:
            copied = self._copied = torch.cuda.Event()
            copied.record(self._stream)

        def run() -> None:
            start = time.monotonic()
            try:
                if copied is not None:
                    copied.synchronize()
                file()
                self.seconds = time.monotonic() - start
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, name="checkpoint")
        self._thread.start()

    def before_update(self) -> None:
        """To be called before weights or optimizer states change: a GPU waits for its copies there, the host goes on."""
        if self._copied is not None:
            torch.cuda.current_stream().wait_event(self._copied)
            self._copied = None
