"""The caching wrapper: a stage is one Prefect task around one key of the store.

Prefect owns the state (name, retries, Cached or Completed), the store owns the bytes. What passes between stages
is an `Artifact`, a small reference. The stage function itself gets finished inputs and an empty folder:

    @stage("sid", version=1, reads=lambda c: {...})
    def sid(job: Job, prepare: Artifact, embed: Artifact) -> dict: ...

Raise `version` whenever the code of a stage starts to give other results for the same config and inputs.

A stage that `takes_over` something from the model in service (genrec/config/service.py) gets that model's artifacts as
`job.previous`, and the key of the one it continues is one more input of its own key. Where nothing changed since, the
artifact in service itself is the result.
"""

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import MissingContextError
from prefect.states import Cancelled, Completed, State
from prefect.utilities.annotations import opaque

from genrec.config import Config, StageResources
from genrec.errors import GenrecError
from genrec.redact import without_secrets
from genrec.store.local import Artifact, make_key
from genrec.store.origin import NOT_RECORDED, differences
from tasks.ray.cluster import run_task, run_tasks
from tasks.ray.gpus import gpus_of_this_machine, resources_of
from tasks.ray.made_on import asked_threads, here, made_on
from tasks.ray.room import room_for
from tasks.ray.shard_rows import shard_rows
from tasks.ray.watch import watcher
from tasks.reasons import why_computed
from tasks.run import Run
from tasks.stop import Stopped, stopping


@dataclass(frozen=True)
class Job:
    """What a stage function works with."""

    stage: str
    config: Config
    out: Path  # empty; becomes the artifact
    work: Path  # survives a killed attempt
    scratch: Callable[[], AbstractContextManager[Path]]  # an empty folder for the time of a `with`, on the shared store
    previous: dict[str, Artifact] = field(default_factory=dict)  # of the model in service, to be taken over; or empty
    reads: dict[str, Any] = field(default_factory=dict)  # the slice of the config that the key is made of

    def ray_task(self, function: Callable[..., Any], **call: Any) -> Any:
        """Run one progress-reporting function as a Ray task."""
        return run_task(self.stage, function, call, self.config.resources, self.work)

    def ray_tasks(
        self,
        function: Callable[..., Any],
        calls: list[dict[str, Any]],
        reports_progress: bool = False,
        rows: str | None = None,
        use: StageResources | None = None,
        sizes: list[float] | None = None,
    ) -> list:
        """Run each call of one function as a Ray task; `rows` names what a call works on and shows each as a task run.

        `use` takes the place of the stage's own resources. `sizes` of the calls are in the unit of their progress.
        """
        with shard_rows(self.stage, rows, len(calls)) as on_done:
            return run_tasks(
                self.stage,
                function,
                calls,
                self.config.resources,
                self.work,
                reports_progress=reports_progress,
                on_done=on_done,
                use=use,
                sizes=sizes,
            )


class Stage:
    """A stage function with its name, version and slice of the config. Calling it runs it as a Prefect task."""

    def __init__(
        self,
        name: str,
        version: int,
        reads: Callable[[Config], dict[str, Any]],
        function: Callable[..., dict[str, Any]],
        takes_over: Callable[[Config], str | None] = lambda config: None,
        same_settings: bool = True,
        accepts: Callable[[Config, Artifact], None] = lambda config, artifact: None,
    ) -> None:
        self.name, self.version, self.reads, self.function = name, version, reads, function
        self.takes_over, self.same_settings, self.accepts = takes_over, same_settings, accepts
        self.__doc__ = function.__doc__

    def __call__(self, run: Run, **inputs: Artifact) -> Artifact:
        """The artifact. Raises Stopped where the run was stopped meanwhile; its task run is cancelled then."""
        step = task(
            name=self.name,
            task_run_name=self.name,
            description=self.__doc__,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=run.config.resources.retries,
        )(self.execute)
        # Prefect draws an arrow from each task whose result it finds in the parameters: in the inputs, not in the run.
        state: State[Artifact] = step(opaque(run), inputs, return_state=True)
        if state.is_cancelled():
            raise Stopped(state.message)
        return state.result()

    def key(self, config: Config, inputs: dict[str, Artifact]) -> tuple[str, dict[str, Any], dict[str, str]]:
        """The key, and the config slice and input keys it is made of."""
        config_slice = self.reads(config)
        input_keys = {name: artifact.key for name, artifact in inputs.items()}
        return make_key(self.name, self.version, config_slice, input_keys), config_slice, input_keys

    def _continued(
        self, run: Run, config_slice: dict[str, Any], input_keys: dict[str, str]
    ) -> tuple[Artifact | None, dict[str, str]]:
        """(the artifact in service where it is the result as it stands, else None; inputs that name what is taken over)."""
        how = self.takes_over(run.config)
        previous = run.previous.get(self.name)
        if how is None or previous is None:
            return None, {}
        manifest = run.store.manifest(previous)
        same = (manifest["version"], manifest["config"]) == (self.version, config_slice)
        if same and _own_inputs(manifest["inputs"]) == input_keys:
            # Where it was refreshed since: what it is now, as what is stored after it is.
            is_current = run.store.object_path(previous.key) == previous.path
            return previous if is_current else run.store.lookup(previous.key) or previous, {}
        if self.same_settings and not same:
            _log(f"{self.name}: nothing is taken over from the model in service, which has other settings")
            return None, {}
        return None, {"previous": previous.key, "takes_over": how}

    @without_secrets()
    def execute(self, run: Run, inputs: dict[str, Artifact]) -> Any:
        """Look the key up, compute it where it is missing; tells Prefect and the watcher which."""
        try:
            found = self._look_up_or_compute(run, inputs)
            self.accepts(run.config, cast(Artifact, found.data) if isinstance(found, State) else found)
            return found
        except Stopped as stopped:
            return Cancelled(message=str(stopped))

    def _look_up_or_compute(self, run: Run, inputs: dict[str, Artifact]) -> Any:
        started = time.monotonic()
        if self.name in run.given:
            given, reason = run.given[self.name], "of the run that is measured again"
            self._record(run, given, "cached", reason, time.monotonic() - started)
            return Completed(name="Cached", message=f"{reason}: {given.key}", data=given)
        key, config_slice, input_keys = self.key(run.config, inputs)
        store = run.store
        refreshed = self.name in run.refresh
        unchanged, taken_over = self._continued(run, config_slice, input_keys)
        if unchanged is not None and not refreshed and not self._out_of_date(run, unchanged, inputs):
            reason = "nothing new since the model in service"
            _log(f"{self.name}: cached ({reason}), {unchanged.key}{self._elsewhere(run, unchanged)}")
            self._record(run, unchanged, "cached", reason, time.monotonic() - started)
            return Completed(name="Cached", message=f"{reason}: {unchanged.key}", data=unchanged)
        if taken_over:
            input_keys = {**input_keys, **taken_over}
            key = make_key(self.name, self.version, config_slice, input_keys)
        with store.lock(key, lambda: watcher().stage_waiting(self.name), stopping().check):
            existed = store.object_path(key).exists()
            artifact = None if refreshed else store.lookup(key)
            out_of_date = "" if artifact is None else self._out_of_date(run, artifact, inputs)
            if artifact is not None and not out_of_date:
                store.discard_work(key)  # left by a process that was killed just after it had committed
                reason = "same config and inputs"
                _log(f"{self.name}: cached ({reason}), {key}{self._elsewhere(run, artifact)}")
                self._record(run, artifact, "cached", reason, time.monotonic() - started)
                return Completed(name="Cached", message=f"{reason}: {key}", data=artifact)
            if refreshed:
                reason = "refresh asked for"
            elif out_of_date:
                reason = out_of_date
            elif existed:
                reason = "the stored copy was corrupt and was set aside"
            else:
                reason = why_computed(store, key, self.name, self.version, config_slice, input_keys)
            if run.compute is not None and self.name not in run.compute:
                raise GenrecError(
                    f"stage {self.name}: not in the store for these settings ({reason}), and this run computes only "
                    f"{', '.join(sorted(run.compute))}; run retrain with the same settings first"
                )
            with room_for(run.config, self.name):
                started = time.monotonic()
                _log(f"{self.name}: computing ({reason}), {key}")
                watcher().stage_started(self.name, reason)
                try:
                    artifact = self._compute(run, inputs, key, config_slice, input_keys, refreshed or bool(out_of_date))
                except Stopped:
                    watcher().stage_stopped(self.name)
                    raise
                except BaseException:
                    watcher().stage_failed(self.name)
                    raise
        self._record(run, artifact, "computed", reason, time.monotonic() - started)
        return artifact

    def _compute(
        self,
        run: Run,
        inputs: dict[str, Artifact],
        key: str,
        config_slice: dict[str, Any],
        input_keys: dict[str, str],
        refreshed: bool,
    ) -> Artifact:
        started = time.monotonic()
        store = run.store
        if refreshed and key not in run.refreshing:  # else it is a retry, which goes on from its checkpoint
            store.discard_work(key)
            run.refreshing.add(key)
        previous = run.previous if "previous" in input_keys else {}
        with gpus_of_this_machine(store, run.config, self.name), store.scratch() as out:
            work = store.work_path(key)
            job = Job(self.name, run.config, out, work, store.scratch, previous, config_slice)
            summary = self.function(job, **inputs)
            return store.commit(
                key,
                self.name,
                out,
                version=self.version,
                config_slice=config_slice,
                inputs=input_keys,
                summary=summary,
                seconds=time.monotonic() - started,
                made_on=made_on(work, run.config.resources, resources_of(run.config, self.name)),
                input_digests={name: artifact.digest for name, artifact in inputs.items()},
                replace=refreshed,
            )

    def _out_of_date(self, run: Run, artifact: Artifact, inputs: dict[str, Artifact]) -> str:
        """In words: why a stored artifact is computed again although its key is the one that is asked for; or ""."""
        read = run.store.manifest(artifact).get("input_digests", {})
        refreshed = [name for name, now in inputs.items() if read.get(name, now.digest) != now.digest]
        if refreshed:
            return f"{', '.join(refreshed)} refreshed since, with other content"
        return self._elsewhere(run, artifact).removeprefix("; ") if run.refresh_elsewhere else ""

    def _elsewhere(self, run: Run, artifact: Artifact) -> str:
        """In words: on what else than here an artifact was made, or that it is not known; "" where nothing differs."""
        resources = run.config.resources
        threads = asked_threads(resources, resources_of(run.config, self.name))
        record = run.store.manifest(artifact).get("made_on", {})
        found = differences(record, threads, here(resources))
        if not found:
            return ""
        if found == [NOT_RECORDED]:
            return f"; {NOT_RECORDED}"
        return f"; made elsewhere: {', '.join(found[:4])}{', ...' if len(found) > 4 else ''}"

    def _record(self, run: Run, artifact: Artifact, status: str, reason: str, seconds: float) -> None:
        record = {
            "name": self.name,
            "key": artifact.key,
            "status": status,
            "reason": reason,
            "seconds": round(seconds, 2),
            "computed_seconds": round(artifact.seconds, 2),
            "digest": artifact.digest,
        }
        run.done(record, artifact)
        watcher().stage_finished(record)


def stage(
    name: str,
    *,
    version: int,
    reads: Callable[[Config], dict[str, Any]],
    takes_over: Callable[[Config], str | None] = lambda config: None,
    same_settings: bool = True,
    accepts: Callable[[Config, Artifact], None] = lambda config, artifact: None,
) -> Callable[[Callable[..., dict[str, Any]]], Stage]:
    """Make a stage of a function `(job, **inputs) -> summary` that writes its artifact into `job.out`.

    takes_over: what it takes over from the model in service, as text for the key; None for nothing. same_settings: only
    from an artifact that was made with the same settings. accepts: raises GenrecError where a run must not go on with the
    artifact, computed or stored.
    """
    return lambda function: Stage(name, version, reads, function, takes_over, same_settings, accepts)


def _own_inputs(inputs: dict[str, str]) -> dict[str, str]:
    return {name: key for name, key in inputs.items() if name not in ("previous", "takes_over")}


def _log(text: str) -> None:
    with contextlib.suppress(MissingContextError):  # called outside a flow, as tests do
        get_run_logger().info(text)
