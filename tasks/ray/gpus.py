"""GPUs: one stage at a time on each of this machine's, and none that is reserved but cannot be used.

One Ray gives each of its GPUs to one task at a time. Two Rays on one machine know nothing of each other: so a stage
that asks for GPUs holds a lock in the store for every device of the machine that it could be given. Runs that join a
cluster share one Ray, and no lock is taken.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from genrec.config import Config, StageResources
from genrec.errors import GenrecError
from genrec.store.local import Store
from tasks.ray.made_on import ray_address
from tasks.ray.watch import watcher
from tasks.stop import stopping

_USES = {"rl": ("rl", "rollout"), "in_service": ("evaluate",)}  # where it is not those of the stage's own name alone


def resources_of(config: Config, stage: str) -> StageResources:
    """What the tasks of a stage ask Ray for."""
    return getattr(config.resources, _USES.get(stage, (stage,))[0])


def wants_gpus(config: Config, stage: str) -> bool:
    """Whether a stage of this run asks Ray for a GPU."""
    return any(getattr(config.resources, name).num_gpus > 0 for name in _USES.get(stage, (stage,)))


def devices() -> list[str]:
    """The GPUs of this machine that this process may use, by number; ["0"] where none can be found out."""
    present = sorted(
        (m.group(1) for p in Path("/dev").glob("nvidia*") if (m := re.fullmatch(r"nvidia(\d+)", p.name))), key=int
    )
    visible = [d.strip() for d in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if d.strip()]
    if visible and all(d.isdigit() for d in visible):
        return sorted(set(visible), key=int)
    return present or ["0"]  # names that are no numbers may be any of them


@contextlib.contextmanager
def gpus_of_this_machine(store: Store, config: Config, stage: str) -> Iterator[None]:
    """Hold the GPUs of this machine for the time of the block, where the stage wants any and Ray is this run's own."""
    with contextlib.ExitStack() as held:
        if wants_gpus(config, stage) and not ray_address(config.resources):
            for device in devices():  # in the same order in every run: no two runs wait for each other
                name = f"gpu-{socket.gethostname()}-{device}"
                held.enter_context(store.lock(name, partial(_waits, stage, device), stopping().check))
        yield


def check_reserved_gpu(setting: str = "num_gpus of the stage's resources") -> None:
    """In a Ray worker: GenrecError where Ray reserved a GPU for the task and torch finds none.

    It would compute on the CPU without a word, for days. Tasks that reserve none see none: Ray hides them
    (RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO, `tasks.ray.cluster`).
    """
    import ray

    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        return
    import torch

    if torch.cuda.is_available():
        return
    build = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built for the CPU alone"
    driver = Path("/proc/driver/nvidia/version")
    found = driver.read_text().splitlines()[0].strip() if driver.is_file() else "no NVIDIA driver is loaded"
    raise GenrecError(
        f"a GPU is reserved for this task but torch {torch.__version__} cannot use one: it {build}, and {found}. Run "
        f"`make setup EXTRA=gpu`, or set {setting} to 0"
    )


def _waits(stage: str, device: str) -> None:
    watcher().message(f"{stage}: another run uses GPU {device}; waiting for it")
