"""The index of a fitted channel as files: index.safetensors holds its arrays, index.json its settings.

Nothing in them is executed, and the same index gives the same bytes.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.errors import DataError

ARRAYS, SETTINGS = "index.safetensors", "index.json"
_PARTS = ("data", "indices", "indptr")  # of a sparse matrix

State = tuple[Mapping[str, Any], Mapping[str, Any]]  # arrays and sparse matrices by name; what JSON can hold


def write(folder: Path, arrays: Mapping[str, NDArray[Any] | sp.csr_array], settings: Mapping[str, Any]) -> None:
    """Write arrays, sparse matrices (csr) and settings into `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    plain: dict[str, NDArray[Any]] = {}
    shapes: dict[str, list[int]] = {}
    for name, value in arrays.items():
        if sp.issparse(value):
            shapes[name] = list(value.shape)
            plain |= {f"{name}.{part}": np.ascontiguousarray(getattr(value, part)) for part in _PARTS}
        else:
            plain[name] = np.ascontiguousarray(value)
    save_file(plain, folder / ARRAYS)
    (folder / SETTINGS).write_text(json.dumps({"settings": settings, "sparse": shapes}, indent=1) + "\n")


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arrays and sparse matrices by name, settings). Raises DataError that names the file which cannot be read."""
    try:
        described = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        plain = load_file(folder / ARRAYS)
        arrays: dict[str, Any] = {}
        for name, shape in described["sparse"].items():
            parts = tuple(plain.pop(f"{name}.{part}") for part in _PARTS)
            matrix = sp.csr_array(parts, shape=tuple(shape))
            matrix.check_format(full_check=True)  # products do not look whether a column is inside
            arrays[name] = matrix
        return arrays | plain, described["settings"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"{folder}: holds no readable index ({error}); fit the channel again") from error


@contextmanager
def complete(folder: Path) -> Iterator[None]:
    """A block that makes something of what `read` gave. Raises DataError where a part is missing or does not fit."""
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{folder}: holds no complete index ({error!r}); fit the channel again") from error
