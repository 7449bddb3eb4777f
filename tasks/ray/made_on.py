"""On what an artifact is made (genrec/store/origin.py): every process that computes for it notes what it runs on.

The notes are files in the stage's work folder, `made-on-<digest>.json`, one for each distinct description: so they
survive a killed attempt, and an artifact that was begun on one machine and finished on another names both. Whoever
commits the artifact reads them. Imports no Prefect: Ray's worker processes import this.
"""

import hashlib
import json
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrec.config import ResourcesConfig, StageResources
from genrec.store.origin import describe, hardware, versions

_NOTES = "made-on-*.json"


def note(work: Path, threads: int) -> None:
    """Note what this process runs on, and how many threads it computes with."""
    text = json.dumps(describe(threads), sort_keys=True)
    path = work / f"made-on-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")  # processes of two hosts may have one number
        partial.write_text(text)
        os.replace(partial, path)


def notes(work: Path) -> list[Path]:
    return sorted(work.glob(_NOTES))


def made_on(work: Path, resources: ResourcesConfig, use: StageResources) -> dict[str, Any]:
    """What the manifest records: of the processes that noted it in `work`, else of this one, which did it all."""
    threads = asked_threads(resources, use)
    processes = [json.loads(path.read_text()) for path in notes(work)]
    return {"threads": threads, "processes": processes or [describe(threads)]}


def here(resources: ResourcesConfig) -> Mapping[str, Any]:
    """What is known, before any Ray runs, of the processes that would compute.

    Always the versions, which are the same on all nodes of a Ray cluster. cpu and device only where Ray is started on
    this machine: the nodes of a cluster may differ, and no one knows which of them a task will get.
    """
    return {"versions": versions(), **({} if ray_address(resources) else hardware())}


def ray_address(resources: ResourcesConfig) -> str | None:
    """The Ray cluster that a run joins; None: Ray is started on this machine."""
    return resources.ray_address or os.environ.get("RAY_ADDRESS") or None


def asked_threads(resources: ResourcesConfig, use: StageResources) -> int:
    """Threads of a stage's tasks, as far as the config and this machine tell."""
    cores = math.inf if ray_address(resources) else resources.num_cpus or os.cpu_count() or 1
    return num_threads(use, cores)


def num_threads(use: StageResources, cores: float) -> int:
    """Threads of a task where Ray has so many cores in all."""
    return use.num_threads or max(1, math.ceil(min(use.num_cpus, cores)))
