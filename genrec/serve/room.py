"""Whether a model fits the device it is to answer on, known before it is loaded."""

import math
from pathlib import Path

import torch

from genrec.errors import ConfigError
from genrec.model import folder
from genrec.model.device_memory import free_bytes
from genrec.serve.engine import GIB
from genrec.serve.model_files import ModelFiles

_NF4_BYTES = 0.52  # of a weight: 4 bits, and scales that are quantised themselves (QLoRA, section 3)


def check_room(files: ModelFiles, device: torch.device, dtype: torch.dtype, max_kv_gib: float) -> None:
    """Raises ConfigError where weights in `dtype` and the keys and values of a search are more than the device has free.

    What is free counts the other models that answer there: a new model is loaded beside the one it takes the place of.
    A CPU is not asked.
    """
    free = free_bytes(device)
    if free is None:
        return
    weights = weight_bytes(files.model, files.base, dtype)
    if weights + max_kv_gib * GIB > free:
        name = str(dtype).removeprefix("torch.")
        raise ConfigError(
            f"{files.where}: does not fit {device}: its weights take {weights / GIB:.1f} GiB in {name}, the keys and values "
            f"of a search up to {max_kv_gib:g} GiB (api.max_kv_gib, at an endpoint), and {free / GIB:.1f} GiB are free there. Free "
            "memory of the device, lower api.max_kv_gib, set evaluate.precision to bf16 where it is not, or take a larger device"
        )


def weight_bytes(model: Path, base: Path | None, dtype: torch.dtype) -> int:
    """Bytes of the weights of a model's folder, and of its base where it is an adapter, by the headers of their files.

    The matrices of the layers of a QLoRA base are NF4; all else is of `dtype`.
    """
    mode = folder.read_meta(model).get("adapter", "full")
    total = _bytes_of(model, dtype.itemsize, dtype.itemsize)
    if mode != "full" and base is not None:
        total += _bytes_of(base, dtype.itemsize, _NF4_BYTES if mode == "qlora" else dtype.itemsize)
    return total


def _bytes_of(folder_: Path, itemsize: float, layer_itemsize: float) -> int:
    from safetensors import safe_open

    total = 0.0
    for path in sorted(folder_.rglob("*.safetensors")):
        with safe_open(path, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (no mapping)
                shape = tensors.get_slice(name).get_shape()
                in_layer = ".layers." in name and len(shape) == 2 and ".lora_" not in name
                total += math.prod(shape) * (layer_itemsize if in_layer else itemsize)
    return math.ceil(total)
