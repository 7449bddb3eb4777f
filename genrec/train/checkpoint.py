"""Checkpoints of a training run: tensors and a JSON state in one safetensors file, replaced atomically.

Reading one executes nothing. What a bit-exact resumption needs beside the weights (optimizer, random states) is turned
into tensors and back here.
"""

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from genrec.errors import DataError
from genrec.train.checkpoint_writer import CheckpointWriter

_FILE = "checkpoint.safetensors"
_STATE = "state"


def save(
    work: Path,
    tensors: dict[str, torch.Tensor],
    state: dict[str, Any],
    join: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
    writes: bool = True,
    writer: CheckpointWriter | None = None,
) -> None:
    """Replace the checkpoint in `work`; a reader, or a crash at any moment, sees the old one or the new one.

    `join` makes a tensor whole by its name where several processes hold rows of it: then all of them call this, and
    `writes` is true in one. A `writer` replaces it after this has returned.
    """
    host = {}
    for name, tensor in tensors.items():  # one by one: a GPU has room for one whole tensor, not for all
        joined = tensor.detach() if join is None else join(name, tensor.detach())
        if writes and writer is not None and joined.data_ptr() == tensor.data_ptr():
            host[name] = writer.copy(name, joined)
        elif writes:
            host[name] = joined.to("cpu", copy=True).contiguous()
    if not writes:
        return
    file = partial(_replace, work, host, json.dumps(state, sort_keys=True))
    if writer is None:
        file()
    else:
        writer.write(file)


def _replace(work: Path, host: dict[str, torch.Tensor], state: str) -> None:
    work.mkdir(parents=True, exist_ok=True)
    unfinished = work / f"{_FILE}.{os.getpid()}.partial"
    save_file(host, str(unfinished), metadata={_STATE: state})
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, work / _FILE)
    for left in work.glob(f"{_FILE}.*.partial"):  # of attempts that were killed while they wrote
        left.unlink(missing_ok=True)


def load(
    work: Path, rows: Callable[[str, tuple[int, ...]], slice] | None = None
) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Tensors (on the CPU) and state of the checkpoint in `work`; None when there is none yet.

    `rows` tells by name and shape which rows of a tensor are read; none of the others are.
    """
    path = work / _FILE
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: _read(file, name, rows) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return tensors, json.loads(file.metadata()[_STATE])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a readable checkpoint ({error}); delete it to start over") from error


def _read(file: Any, name: str, rows: Callable[[str, tuple[int, ...]], slice] | None) -> torch.Tensor:
    part = file.get_slice(name)
    shape = tuple(part.get_shape())
    if rows is None or not shape or (wanted := rows(name, shape)) == slice(None):
        return file.get_tensor(name)
    return part[wanted]


def subset(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The optimizer's state of named parameters as tensors `<parameter>/<slot>`."""
    return {
        f"{name}/{slot}": torch.as_tensor(value)
        for name, parameter in parameters.items()
        for slot, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: dict[str, nn.Parameter], tensors: dict[str, torch.Tensor]
) -> None:
    """Give an optimizer the state that `optimizer_tensors` took; `step` counters stay where the optimizer keeps them.

    Going through `load_state_dict` lets the optimizer place and cast its slots itself.
    """
    ids = {}
    state = optimizer.state_dict()
    for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        ids.update({id(parameter): key for parameter, key in zip(group["params"], saved["params"], strict=True)})
    state["state"] = {}
    for name, parameter in parameters.items():
        slots = {slot: _counter(value) for slot, value in subset(tensors, f"{name}/").items()}
        if slots:
            state["state"][ids[id(parameter)]] = slots
    optimizer.load_state_dict(state)


def _counter(value: torch.Tensor) -> torch.Tensor | int:
    """bitsandbytes counts its steps in a plain int, torch in a float tensor."""
    return value if value.ndim or value.is_floating_point() else int(value)


def random_tensors() -> dict[str, torch.Tensor]:
    """Torch's random states, uint8 bytes: the CPU's, and every GPU's once CUDA is in use."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.update({f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())})
    return states


def restore_random(tensors: dict[str, torch.Tensor]) -> None:
    """Set the random states that `random_tensors` took, as far as this machine has the devices."""
    torch.set_rng_state(tensors["cpu"])
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{i}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda{i}"], i)


class CheckpointClock:
    """Decides when a checkpoint is due: after `every_s` seconds, but never for more than a tenth of the time."""

    def __init__(self, every_s: float) -> None:
        self._every_s, self._cost_s, self._saved_at = every_s, 0.0, time.monotonic()

    def is_due(self, writing_s: float = 0.0) -> bool:
        """Whether enough time has passed since the last checkpoint, which a thread took `writing_s` to write."""
        return time.monotonic() - self._saved_at >= max(self._every_s, 10 * (self._cost_s + writing_s))

    def run(self, save_checkpoint: Callable[[], None]) -> None:
        """Save a checkpoint and note the time that it took."""
        start = time.monotonic()
        save_checkpoint()
        self._saved_at = time.monotonic()
        self._cost_s = self._saved_at - start
