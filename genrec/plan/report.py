"""The plan of a config: its stages' memory, arithmetic and time, and which GPUs they fit."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genrec.plan.gpus import GIB, GPUS, Gpu, needed
from genrec.plan.sharding import PROCESSES, STAGES, per_process
from genrec.plan.work import Work

if TYPE_CHECKING:
    from genrec.config import Config
    from genrec.plan.stages import Process, Stage

# Share of the rate of a large product that a stage was measured to reach on an H200 (docs/cluster.md).
MFU = {
    "search": 0.50,
    "training": 0.32,
    "compiled training": 0.36,
    "updates": 0.32,
    "compiled updates": 0.45,
    "embed": 0.38,
}
WITHOUT_MODEL = ("ingest", "prepare", "sid", "base", "baselines")
_STAGES = ("embed", "sft", "rl", "evaluate")


def plan(config: "Config", work: Work, gpu: Gpu, mfu: Mapping[str, float] | None = None) -> dict[str, Any]:
    """{config, gpu, work, models, stages: [...], without_model, warnings}, as plain data.

    A stage has `processes` [{name, kinds_bytes, peak_bytes}] side by side on a device, `parts` [{name, tokens, operations,
    mfu, seconds}], and `fits` {gigabytes: {alone, processes, sharding, ...}}. Raises ConfigError.
    """
    from genrec.plan.stages import Stages

    stages = Stages(config, work, gpu)
    shares = {**MFU, **(mfu or {})}
    found, warnings = [], []
    for name in _STAGES:
        measure: Callable[..., Stage | None] = getattr(stages, name)
        stage = measure()
        if stage is None:
            continue
        found.append(_told(stage, config, gpu, shares))
        if not fits(stage.processes, gpu):
            warnings.append(_warning(stage, measure, gpu))
    shapes = {"base.model": stages.base, "embed.options.model": stages.encoder}
    return {
        "config": config.name,
        "gpu": gpu.name,
        "work": vars(work),
        "models": {setting: f"{s.name}, size from {s.source}" for setting, s in shapes.items() if s is not None},
        "stages": found,
        "without_model": [*WITHOUT_MODEL, *([] if stages.encoder else ["embed"])],
        "warnings": warnings,
    }


def fits(processes: "Sequence[Process]", gpu: Gpu) -> bool:
    """Whether these have room side by side."""
    return needed(*(p.peak for p in processes)) <= gpu.memory_bytes


def _told(stage: "Stage", config: "Config", gpu: Gpu, shares: Mapping[str, float]) -> dict[str, Any]:
    parts = [
        {
            "name": part.name,
            "tokens": part.tokens,
            "operations": part.operations,
            "precision": part.precision,
            "mfu": shares[part.use],
            "seconds": part.operations / (gpu.rate(part.precision) * shares[part.use]),
        }
        for part in stage.parts
    ]
    sharding = getattr(getattr(config, stage.name), "sharding", "none")
    modes = list(STAGES[STAGES.index(sharding) :])
    if config.sft.adapter == "qlora":
        modes = [mode for mode in modes if mode != "weights"]  # packed weights are not divided
    if stage.name == "sft" and config.sft.optimizer == "paged_adamw_8bit":
        modes = ["none"]  # its states are rounded in blocks of whole weights
    return {
        "name": stage.name,
        "setting": stage.setting,
        "batch": stage.batch,
        "processes": [
            {"name": p.name, "kinds_bytes": {k: v for k, v in p.kinds.items() if v}, "peak_bytes": p.peak}
            for p in stage.processes
        ],
        "parts": parts,
        "fits": {size: _fit(stage, other, modes) for size, other in GPUS.items()},
        "notes": stage.notes,
    }


def _fit(stage: "Stage", gpu: Gpu, modes: Sequence[str]) -> dict[str, Any]:
    """Whether one process fits, and the fewest that do, by the first of the modes of sharding that helps."""
    if fits(stage.processes, gpu):
        return {"processes": 1}
    if stage.name not in ("sft", "rl"):
        return {"processes": None}
    first, *others = stage.processes
    for mode in modes:
        for count in PROCESSES[1:]:
            share = per_process(first.kinds, mode, count, first.layers, stage.batch, stage.shared)
            if needed(share, *(p.peak for p in others)) <= gpu.memory_bytes:
                return {"processes": count, "sharding": mode}
    return {"processes": None}


def _warning(stage: "Stage", measure: "Callable[..., Stage | None]", gpu: Gpu) -> str:
    need = needed(*(p.peak for p in stage.processes)) / GIB
    largest = _largest(stage, measure, gpu)
    says = f"{stage.setting} {stage.batch} needs {need:.1f} GiB of the {gpu.memory_bytes / GIB:.1f} GiB of {gpu.name}; "
    if largest:
        return says + f"the largest that fits is {largest}"
    return says + "no smaller one fits either: see what sharding or gradient checkpointing gives, or take a larger GPU"


def _largest(stage: "Stage", measure: "Callable[..., Stage | None]", gpu: Gpu) -> int:
    """The largest batch that fits, 0 for none: memory grows along a line, whose ends are measured, and what it tells too."""
    low = measure(1)
    if low is None or not fits(low.processes, gpu):
        return 0
    at_one, at_batch = (needed(*(p.peak for p in s.processes)) for s in (low, stage))
    slope = (at_batch - at_one) / max(1, stage.batch - 1)
    guess = min(stage.batch - 1, 1 + int((gpu.memory_bytes - at_one) / max(slope, 1e-9)))
    while guess > 1:
        tried = measure(guess)
        if tried is not None and fits(tried.processes, gpu):
            return guess
        guess = guess * 15 // 16
    return 1
