"""Columns of numbers on disk: appended to in pieces, read in pieces of bounded size as often as wanted."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 1 << 20
_SPREAD = 8
Chunk = dict[str, NDArray]
Chunks = Callable[[], Iterator[Chunk]]  # the same chunks at every call


class ColumnsOnDisk:
    """A table with columns of the given dtypes, one file each in `folder`; append in a `with`, then read `chunks`."""

    def __init__(self, folder: Path, dtypes: Mapping[str, np.dtype | type]) -> None:
        folder.mkdir(parents=True)
        self.dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self._paths = {name: folder / name for name in dtypes}
        self._stack = ExitStack()
        self.num_rows = 0

    def __enter__(self) -> "ColumnsOnDisk":
        self._files = {name: self._stack.enter_context(path.open("wb")) for name, path in self._paths.items()}
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def append(self, **columns: NDArray) -> None:
        """A piece of every column, all of one length."""
        for name, dtype in self.dtypes.items():
            self._files[name].write(np.ascontiguousarray(columns[name], dtype=dtype).data)
        self.num_rows += len(next(iter(columns.values())))

    def chunks(self) -> Iterator[Chunk]:
        """The rows in order, CHUNK_ROWS at a time."""
        with ExitStack() as stack:
            files = {name: stack.enter_context(path.open("rb")) for name, path in self._paths.items()}
            for start in range(0, self.num_rows, CHUNK_ROWS):
                number = min(CHUNK_ROWS, self.num_rows - start)
                yield {name: np.fromfile(files[name], dtype, number) for name, dtype in self.dtypes.items()}

    def remove(self) -> None:
        """Delete the files."""
        for path in self._paths.values():
            path.unlink()


def add_counts(counts: NDArray[np.integer], numbers: NDArray[np.integer]) -> None:
    """Add to `counts` how often each number occurs; a tenth of the time of np.add.at where the numbers lie near together."""
    if not len(numbers):
        return
    low, high = int(numbers.min()), int(numbers.max())
    if high - low > _SPREAD * len(numbers):
        np.add.at(counts, numbers, 1)
    else:
        counts[low : high + 1] += np.bincount(numbers - low).astype(counts.dtype)
