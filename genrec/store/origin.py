"""On what an artifact was made: what the last bits of its figures depend on besides its key.

The manifest holds under "made_on"

    threads      int: threads that the stage's tasks were to use, from the config of the run
    processes    list of distinct descriptions (`describe`), one of each kind of process that computed: Ray workers, the
                 learners of a group, rollout actors. Each describes itself, for it may run on another machine.
"""

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "numpy",
    "scipy",
    "scikit-learn",
    "polars",
    "pyarrow",
    "faiss-cpu",
    "faiss-gpu",
    "gensim",
    "implicit",
)
NOT_RECORDED = "on what it was made is not recorded"
_DEVICE = {"NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"}


def describe(threads: int, root: Path = Path("/proc")) -> dict[str, Any]:
    """This process: cpu and device (`hardware`), threads, and versions ({library: version})."""
    return {**hardware(root), "threads": threads, "versions": versions()}


def hardware(root: Path = Path("/proc")) -> dict[str, str]:
    """cpu: the model of the processor. device: the models of the GPUs that this process may use, or "cpu"."""
    return {"cpu": _cpu(root), "device": _device(root)}


@cache
def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that compute; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu(root: Path) -> str:
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", (root / "cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        named = None
    return named.group(1).strip() if named else platform.processor() or platform.machine()


def _device(root: Path) -> str:
    """By the list of NVIDIA's driver: torch would take memory on the GPU, and seconds in a run that computes nothing."""
    if any(os.environ.get(name) in ("", "-1", "void", "none") for name in _DEVICE):
        return "cpu"
    models = set()
    for path in root.glob("driver/nvidia/gpus/*/information"):
        named = re.search(r"^Model:\s*(.+)$", path.read_text(), re.MULTILINE)
        models.add(named.group(1).strip() if named else "GPU")
    return ", ".join(sorted(models)) or "cpu"


def differences(made_on: Mapping[str, Any], threads: int, here: Mapping[str, Any]) -> list[str]:
    """What differs between an artifact's "made_on" and a process that would compute it now, in words.

    threads: as the config of this run asks for. here: what is known of the process: versions, and cpu and device
    where those are known. An artifact without a record differs in that.
    """
    processes: Sequence[Mapping[str, Any]] = made_on.get("processes", ())
    if not processes:
        return [NOT_RECORDED]
    found = []
    for name in ("cpu", "device"):
        if name in here:
            found += [f"{name} {p[name]} (here {here[name]})" for p in processes if p[name] != here[name]]
    if made_on.get("threads") != threads:
        found.append(f"threads {made_on.get('threads')} (here {threads})")
    for process in processes:
        then, now = process["versions"], here["versions"]
        found += [
            f"{name} {then.get(name, 'not there')} (here {now.get(name, 'not there')})"
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        ]
    return list(dict.fromkeys(found))
