"""One run: its config, its store, what must be recomputed, and a record of what each stage did."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from genrec.config import Config
from genrec.errors import ConfigError
from genrec.store.local import Artifact, Store

STAGES = ("ingest", "prepare", "embed", "sid", "base", "sft", "rl", "baselines", "rank", "evaluate")
_BEFORE_BASELINES = ("ingest", "prepare", "embed")  # the stages whose artifacts the baselines are made of


@dataclass
class Run:
    """State shared by the stages of one run."""

    config: Config
    store: Store
    run_id: str
    refresh: frozenset[str] = frozenset()
    refresh_elsewhere: bool = False  # compute again what was made on another device, or with other threads or versions
    refreshing: set[str] = field(default_factory=set)  # keys that this run began to compute again
    until: str | None = None
    compute: frozenset[str] | None = None  # stages that may be computed; None: all
    given: dict[str, Artifact] = field(default_factory=dict)  # taken as they are: of the run that is measured again
    records: list[dict[str, Any]] = field(default_factory=list)
    previous: dict[str, Artifact] = field(default_factory=dict)  # of the model in service, where it is taken over
    promotion: dict[str, Any] | None = None  # what became of the model: see tasks/stages/promote.py
    warnings: list[str] = field(default_factory=list)  # sentences for the report
    artifacts: dict[str, Artifact] = field(default_factory=dict)  # of the stages that are done
    started_at: float = field(default_factory=time.time)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)  # of records and artifacts

    def done(self, record: dict[str, Any], artifact: Artifact) -> None:
        """Note what a stage did, in the order of the stages, whichever of two side by side ends first."""
        name = record["name"]
        with self._guard:
            records = [r for r in self.records if r["name"] != name] + [record]
            self.records = sorted(records, key=lambda r: _place(r["name"]))
            artifacts = {**self.artifacts, name: artifact}
            self.artifacts = dict(sorted(artifacts.items(), key=lambda item: _place(item[0])))


def stages_to_refresh(from_stage: str | None, refresh: list[str]) -> frozenset[str]:
    """The stages that are recomputed even when cached. Raises ConfigError for a name that is no stage."""
    for name in [*([from_stage] if from_stage else []), *refresh]:
        check_stage(name)
    following = set(STAGES[STAGES.index(from_stage) :]) if from_stage else set()
    if from_stage not in (*_BEFORE_BASELINES, "baselines"):
        following.discard("baselines")  # comes late, but reads no model
    if from_stage == "baselines":
        following.discard("rank")  # reads no baseline
    return frozenset({*refresh, *following})


def _place(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def check_stage(name: str) -> str:
    if name not in STAGES:
        raise ConfigError(f"{name!r} is not a stage; the stages are {', '.join(STAGES)}")
    return name
