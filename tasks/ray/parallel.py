"""Training by several processes: Ray Train starts them as one torch.distributed group, on one machine or many.

The training function is the one a single process runs (`genrec.train.learner_group` shares the work out inside it).
Checkpoints, progress and results go the same way as with one process, through the stage's folders; Ray Train places
the learners (what it calls workers: the processes of the group), joins them and ends the group when one of them fails.
Imports no Prefect: Ray's worker processes import this.
"""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genrec.config import Config, StageResources
from genrec.errors import GenrecError
from genrec.progress import Progress, silent
from genrec.redact import without_secrets
from tasks.ray.cluster import limit_threads, run_task, run_tasks
from tasks.ray.gpus import check_reserved_gpu
from tasks.ray.made_on import note
from tasks.ray.placement import memory_of
from tasks.ray.worker_log import beside_own, log_to


def train(
    stage: str, function: Callable[..., Any], call: dict[str, Any], num_workers: int, config: Config, work: Path
) -> Any:
    """`function(**call, progress=...)` as one Ray task, or with `num_workers` above 1 by a group of that many processes.

    Every process of the group calls the function with the same arguments (the first one alone reports progress); the
    result is the first one's.
    """
    if num_workers == 1:
        return run_task(stage, function, call, config.resources, work)
    group = {
        "function": function,
        "call": call,
        "num_workers": num_workers,
        "use": getattr(config.resources, stage),
        "storage": work / "group",
    }
    # The task that waits for the group takes no core from it.
    waiting = StageResources(num_cpus=0)
    return run_tasks(stage, run_group, [group], config.resources, work, use=waiting, reports_progress=True)[0]


def run_group(
    function: Callable[..., Any],
    call: dict[str, Any],
    num_workers: int,
    use: StageResources,
    storage: Path,
    progress: Progress = silent,
) -> Any:
    """Call `function(**call, progress=...)` in every process of a Ray Train group; the first one's result.

    `use`: cores, GPUs and threads of a process; cores are lowered where the cluster could not place all processes at
    once. `storage`: a folder that all machines see. Raises the error of the first process that failed.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    # A minute is the default; importing torch on a busy machine may take longer.
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")
    cpus = min(use.num_cpus, ray.cluster_resources().get("CPU", 1.0) / num_workers)
    memory = {"memory": memory_of(use)} if use.memory_gib else {}
    resources = {"CPU": cpus, **({"GPU": use.num_gpus} if use.num_gpus else {}), **memory}
    trainer = TorchTrainer(
        in_group,
        train_loop_config={
            "function": function,
            "call": call,
            "progress": progress,
            "log_file": beside_own("learner"),
            "num_threads": use.num_threads or max(1, math.floor(cpus)),
        },
        torch_config=TorchConfig(backend="nccl" if use.num_gpus >= 1 else "gloo"),  # NCCL wants a GPU each
        scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=use.num_gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(
            name="group", storage_path=str(storage.absolute()), failure_config=FailureConfig(max_failures=0)
        ),
    )
    try:
        result: Any = trainer.fit()
        return result.return_value
    except TrainingFailedError as error:
        raise _cause(error) from error


@without_secrets()  # Ray Train writes the error of a process into logs of its own
def in_group(settings: dict[str, Any]) -> Any:
    """What each process of the group runs."""
    from genrec.train.learner_group import LearnerGroup

    limit_threads(settings["num_threads"])
    check_reserved_gpu()
    group = LearnerGroup()
    progress = settings["progress"] if group.first else silent
    with _logging(settings["log_file"], group.rank, settings["num_threads"]):
        return settings["function"](**settings["call"], progress=progress)


@contextlib.contextmanager
def _logging(log_file: str | None, rank: int, threads: int) -> Iterator[None]:
    """A log file of its own for each learner, beside that of the task that started the group; and what it runs on."""
    if log_file is None:
        yield
        return
    path = Path(log_file)
    note(path.parent, threads)
    with log_to(path.with_stem(f"{path.stem}{rank}")) as logger:
        logger.info("learner %d started in process %d", rank, os.getpid())
        yield


def _cause(error: Any) -> Exception:
    """The error a process raised, where it is one meant for the user, else the first one, in a sentence."""
    failures = getattr(error, "worker_failures", None) or {}
    causes = [getattr(failure, "cause", None) or failure for _, failure in sorted(failures.items())]
    meant = [cause for cause in causes if isinstance(cause, GenrecError)]
    if meant:
        return meant[0]
    first = causes[0] if causes else error
    return GenrecError(f"a training process failed ({type(first).__name__}: {' '.join(str(first).split())[:500]})")
