"""The life of Ray: started on the first stage that has to compute, never by a fully cached run.

Ray owns the work inside a stage, Prefect owns the stage: a lost Ray worker (a process that runs tasks) fails the stage
(`max_retries=0`) and Prefect retries it, with everything finished before it read from the store. This module imports no
Prefect, because every Ray worker imports it.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from genrec.config import ResourcesConfig, StageResources
from genrec.errors import GenrecError
from genrec.progress import FileProgress, read_progress
from genrec.redact import without_secrets
from tasks.ray import environment
from tasks.ray.gpus import check_reserved_gpu
from tasks.ray.handlers import keeps_sigterm
from tasks.ray.made_on import note, ray_address
from tasks.ray.placement import Waiting, alive, placement
from tasks.ray.sessions import note_start
from tasks.ray.watch import watcher
from tasks.ray.worker_log import LogReader, log_to
from tasks.stop import POLL_S, stopping

_START_ATTEMPTS = 3
_CANCEL_PATIENCE_S = 10.0  # below the time that `serve` gives a run that it stops
_lock = threading.RLock()  # of the two below, and of starting and ending Ray: runs in threads share one
# Linux kills Ray's processes when the thread that started them ends (PR_SET_PDEATHSIG, prctl(2)), and the thread of a stage
# ends with its run, while `staying_connected` keeps Ray for the next one: this thread starts them, and does not end.
_starter = ThreadPoolExecutor(1, "ray-start")
_started_here = False
_stays = 0  # blocks in which Ray outlives the runs


def connect(resources: ResourcesConfig) -> None:
    """Join the configured cluster, or start Ray on this machine. Does nothing when connected already."""
    with _lock:
        _connect(resources)


def _connect(resources: ResourcesConfig) -> None:
    address = ray_address(resources)
    environment.prepare(on_this_machine=not address)
    import ray

    global _started_here
    if ray.is_initialized():
        return
    watcher().message("starting Ray")
    common: dict[str, Any] = {
        "log_to_driver": bool(os.environ.get("GENREC_DEBUG")),
        "logging_level": "ERROR",
        "runtime_env": {"env_vars": environment.of_workers(resources)},
    }
    try:
        with keeps_sigterm():
            if address:
                ray.init(address=address, **common)
            else:
                store = object_store_bytes(resources)
                _start(num_cpus=resources.num_cpus or os.cpu_count(), object_store_memory=store, **common)
    except ConnectionError as error:
        raise GenrecError(
            f"Ray cluster {address}: cannot be reached ({error}); unset RAY_ADDRESS to run here"
        ) from None
    _started_here = True


def object_store_bytes(resources: ResourcesConfig) -> int | None:
    """The bound of the object store that is given to Ray; None: its own.

    A bound costs nothing: pages are taken when something is stored. What goes through it are arguments of tasks (the
    texts of embedding shards are the largest) and the trained weights of each step of reinforcement learning, which two
    steps may hold at a time. Vectors and whatever else is large go through files.
    """
    return None if resources.object_store_gib is None else int(resources.object_store_gib * (1 << 30))


def _start(**options: Any) -> None:
    """Start Ray here. It gives its processes half a minute to come up, which a busy machine may overrun: tried again."""
    import ray

    for left in reversed(range(_START_ATTEMPTS)):
        stopping().check()
        try:
            started: Any = _starter.submit(
                ray.init,
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                **options,
            ).result()
            note_start(started.address_info["session_dir"])
            return
        except Exception as error:  # Ray raises nothing more special than this
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            if not left:
                raise GenrecError(
                    f"Ray did not start in {_START_ATTEMPTS} attempts of 30 s each; the machine may be overloaded, or "
                    "another program may keep it from opening ports on 127.0.0.1"
                ) from error
        watcher().message("Ray did not come up in 30 s; trying again")


def disconnect() -> None:
    """Leave the Ray that `connect` joined or started (then it ends); one that was there before is left alone."""
    global _started_here
    with _lock:
        if _started_here and not _stays:
            import ray

            ray.shutdown()
            _started_here = False


@contextlib.contextmanager
def staying_connected() -> Iterator[None]:
    """Keep one Ray for all runs of the block: a run that ends leaves it to the others."""
    global _stays
    with _lock:
        _stays += 1
    try:
        yield
    finally:
        with _lock:
            _stays -= 1
            disconnect()


def run_tasks(
    stage: str,
    function: Callable[..., Any],
    calls: Sequence[dict[str, Any]],
    resources: ResourcesConfig,
    work: Path,
    *,
    use: StageResources | None = None,
    reports_progress: bool = False,
    on_done: Callable[[int, BaseException | None], None] = lambda call, error: None,
    sizes: Sequence[float] | None = None,
) -> list[Any]:
    """Call `function(**call)` for every call, each as a Ray task; returns the results in the order of the calls.

    With `reports_progress` the function gets a `progress` argument, followed from here through small files in
    `work`. The first failure ends the stage: the other tasks are cancelled and waited for, so that none of them writes
    into a folder that is given up, and the error a task raised is raised here as it was. `on_done` hears of every call
    that ends, by its number and, where it failed, with the error. `sizes` is how much each call will report in all, where
    that is known before it begins.
    """
    connect(resources)  # before Ray is imported: it reads its environment then
    import ray

    use = use or getattr(resources, stage)
    placed = placement(use, alive())
    waiting = Waiting(stage, placed, joined=ray_address(resources) is not None)
    waiting.check(alive())
    remote = ray.remote(invoke).options(**placed.options(), max_retries=0, name=f"{stage}:{function.__name__}")
    files = [work / f"progress-{os.getpid()}-{i}.json" if reports_progress else None for i in range(len(calls))]
    logs = LogReader(work)
    refs = [
        remote.remote(function, call, str(file) if file else None, placed.threads, str(logs.file(i)))
        for i, (call, file) in enumerate(zip(calls, files, strict=True))
    ]
    pending = list(refs)
    results: dict[Any, Any] = {}
    try:
        with _following(stage, [f for f in files if f], len(calls), sizes) as follow:
            while pending:
                stopping().check()
                finished, pending = ray.wait(pending, num_returns=1, timeout=POLL_S)
                if not (finished or waiting.over):
                    waiting.check(alive())
                for ref in finished:
                    try:
                        results[ref] = ray.get(ref)
                    except Exception as error:
                        on_done(refs.index(ref), error)
                        raise
                    on_done(refs.index(ref), None)
                _pass_on(stage, logs)
                follow(len(refs) - len(pending))
        return [results[ref] for ref in refs]
    except ray.exceptions.RayTaskError as error:
        raise error.cause from (None if isinstance(error.cause, GenrecError) else error)
    except ray.exceptions.WorkerCrashedError as error:
        raise GenrecError(
            f"stage {stage}: a Ray worker died ({error}); finished stages are kept, run it again"
        ) from None
    except (ray.exceptions.NodeDiedError, ray.exceptions.LocalRayletDiedError) as error:
        raise GenrecError(
            f"stage {stage}: the Ray node it ran on is gone ({str(error).splitlines()[0]}); finished stages are kept, "
            "run it again once the node is back"
        ) from None
    except ray.exceptions.OutOfMemoryError:
        raise GenrecError(
            f"stage {stage}: out of memory; lower its batch size, or set resources.{stage}.memory_gib to what one of its tasks "
            "takes, so that no more of them run on a node than it has memory for"
        ) from None
    finally:
        _cancel(stage, pending)
        _pass_on(stage, logs)
        logs.remove()
        for file in files:
            if file:
                file.unlink(missing_ok=True)


def _cancel(stage: str, refs: list[Any]) -> None:
    """Cancel tasks and wait until they have ended, for a limited time: code outside Python does not hear of it."""
    import ray

    running: list[Any] = []
    try:
        for ref in refs:  # never with force: one that finishes at that moment aborts the driver (Ray 2.60)
            try:
                ray.cancel(ref)
            except (TypeError, ValueError) as error:  # how Ray says that it could not cancel what the task started
                watcher().message(f"{stage}: a task could not be cancelled ({error})")
        if refs:
            running = ray.wait(refs, num_returns=len(refs), timeout=_CANCEL_PATIENCE_S)[1]
    except ray.exceptions.RayError as error:  # the cluster is gone, and its tasks with it
        watcher().message(f"{stage}: tasks could not be cancelled ({type(error).__name__})")
    if running:
        watcher().message(
            f"{stage}: {len(running)} tasks have not stopped {_CANCEL_PATIENCE_S:.0f} s after they were told to"
        )


def run_task(
    stage: str, function: Callable[..., Any], call: dict[str, Any], resources: ResourcesConfig, work: Path
) -> Any:
    """One call of a function that reports progress, as a Ray task with the stage's resources."""
    return run_tasks(stage, function, [call], resources, work, reports_progress=True)[0]


@without_secrets()
def invoke(
    function: Callable[..., Any], call: dict[str, Any], progress_file: str | None, threads: int, log_file: str
) -> Any:
    """What runs in the Ray worker: thread limits first, for more threads than cores slow each other down."""
    import ray

    limit_threads(threads)
    check_reserved_gpu()
    note(Path(log_file).parent, threads)
    if progress_file:
        call = {**call, "progress": FileProgress(Path(progress_file))}
    with log_to(Path(log_file)) as logger:
        started = time.monotonic()
        node = ray.get_runtime_context().get_node_id()[:8]
        logger.info("%s started in process %d on node %s", function.__name__, os.getpid(), node)
        result = function(**call)
        logger.info("%s finished after %.1f s", function.__name__, time.monotonic() - started)
    return result


def _pass_on(stage: str, logs: LogReader) -> None:
    for level, text in logs.new():
        watcher().worker_log(stage, level, text)


def limit_threads(num_threads: int) -> None:
    """Hold OpenMP, BLAS and torch of this process to a number of threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(num_threads)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(num_threads)
    threadpool_limits(limits=num_threads)


@contextlib.contextmanager
def _following(
    stage: str, files: list[Path], num_calls: int, sizes: Sequence[float] | None = None
) -> Iterator[Callable[[int], None]]:
    """Show the sum of what all tasks report; without reports, the share of tasks that are done."""
    latest: dict[Path, dict[str, Any]] = {}
    last = 0.0

    def follow(finished: int) -> None:
        nonlocal last
        if time.monotonic() - last < POLL_S and finished < num_calls:
            return
        last = time.monotonic()
        for file in files:
            state = read_progress(file)
            if state:
                latest[file] = state
        if latest:
            done = sum(s["done"] for s in latest.values())
            # Tasks of unknown size that have not reported yet count as large as the others: the bar never runs ahead.
            total = sum(sizes) if sizes else sum(s["total"] for s in latest.values()) * num_calls / len(latest)
            newest = list(latest.values())[-1]
            watcher().progress(stage, done, total, newest["note"], newest["values"])
        elif not files:
            watcher().progress(stage, finished, num_calls, "", {})

    yield follow
