"""Settings of placement."""

from typing import Any

from pydantic import Field

from genrec.config.section import Section, knob


class StageResources(Section):
    """What Ray reserves for a stage's tasks."""

    num_cpus: float = knob(1, "CPU cores a task.", ge=0)
    num_gpus: float = knob(0, "GPUs a task; a fraction shares one.", ge=0)
    memory_gib: float = knob(
        0,
        "GiB of memory a task: Ray starts no more of them on a node than it has memory for, and the others on other nodes. "
        "0 reserves none.",
        ge=0,
    )
    num_threads: int = knob(0, "Threads of torch, BLAS and Polars in a task; 0 takes num_cpus, rounded up.", ge=0)


def _resources(num_cpus: float) -> Any:
    return Field(default_factory=lambda: StageResources(num_cpus=num_cpus), description="Resources of this stage.")


class ResourcesConfig(Section):
    """Placement: nothing here changes a result by more than rounding (threads and devices sum in another order)."""

    ray_address: str | None = knob(None, "Ray cluster to join; null takes RAY_ADDRESS, else starts Ray here.")
    worker_niceness: int = knob(
        0,
        "Nice level of Ray's worker processes: 0 as other programs, 19 only where nothing else wants the cores.",
        ge=0,
        le=19,
    )
    num_cpus: int = knob(0, "Cores of a Ray that is started here; 0 takes all.", ge=0)
    object_store_gib: float | None = knob(
        None,
        "GiB that the object store of a Ray that is started here may take of the shared memory; only what is stored takes "
        "any. null: Ray's own bound, 30% of the memory.",
        ge=0.1,
    )
    retries: int = knob(0, "Times Prefect retries a failed stage.", ge=0, le=100)
    ingest: StageResources = _resources(1)
    prepare: StageResources = _resources(1)
    embed: StageResources = _resources(1)
    sid: StageResources = _resources(2)
    base: StageResources = _resources(2)
    sft: StageResources = _resources(2)
    rl: StageResources = _resources(1)
    rollout: StageResources = _resources(1)
    baselines: StageResources = _resources(1)
    rank: StageResources = _resources(2)
    evaluate: StageResources = _resources(2)
    recommend: StageResources = _resources(1)
