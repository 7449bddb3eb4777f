"""Models in service: a `current` pointer a name, with its history, in the store.

    service/<name>/000001.json       one record a change, never changed afterwards; once it is there, the change counts
    service/<name>/current.json      a copy of the newest record, or of one before it where a change was cut off

A record holds the run, and the keys and digests of its artifacts by stage: where an artifact was refreshed since, the
digest still leads to the one in service. Going back adds a record that points where an earlier one pointed: the history
only grows.

A model that was trained on generated data (the synthetic shop) does not go into service in a store that serves, or ever
served, other data: a demo that is run beside must not take a shop's place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import time
from typing import Any

from genrec.config.data import generates
from genrec.errors import GenrecError
from genrec.store.artifact import MANIFEST
from genrec.store.local import Artifact, Store

CURRENT = "current.json"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")
_RECORD = re.compile(r"(\d{6})\.json")


class Refused(GenrecError):
    """A model may not go into service in this store."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One change of the model in service.

    Args:
        number: 1, 2, ... in the order of the changes.
        action: promote or roll_back.
        run_id: the run whose model is in service from now on.
        keys: keys of its artifacts by stage.
        why: in words.
        figures: what the decision rests on (see `genrec.in_service.decision.decide`), {} for one made by hand.
        at_unix_s: when.
        digests: digests of its artifacts by stage; {} in records of before there were any.
    """

    number: int
    action: str
    run_id: str
    keys: dict[str, str]
    why: str
    figures: dict[str, Any]
    at_unix_s: int
    digests: dict[str, str] = dataclasses.field(default_factory=dict)


class Registry:
    """The models in service under one name."""

    def __init__(self, store: Store, name: str) -> None:
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise GenrecError(f"{name!r} is no name of a model in service; it is the `name` of the runs, such as demo")
        self.store, self.name, self.folder = store, name, f"service/{name}"

    def current(self) -> Record | None:
        """The model in service, or None."""
        history = self.history()
        return history[-1] if history else None

    def version(self) -> int | None:
        """Number of the newest change, None where there is none; quick, for whoever serves the model asks all the time.

        A change that was cut off before it wrote the copy counts: so the records after that of the copy are looked for.
        """
        try:
            number = json.loads(self.store.read_document(f"{self.folder}/{CURRENT}"))["number"]
        except GenrecError:
            number = 0
        with contextlib.suppress(GenrecError):  # of the first that is not there
            while True:
                self.store.read_document(f"{self.folder}/{number + 1:06d}.json")
                number += 1
        return number or None

    def history(self) -> list[Record]:
        """Every change, oldest first."""
        return [self._read(name) for name in _record_files(self.store, self.name)]

    def promote(
        self,
        run_id: str,
        keys: dict[str, str],
        why: str,
        figures: dict[str, Any] | None = None,
        digests: dict[str, str] | None = None,
    ) -> Record:
        """Put a run's model in service.

        Raises Refused for a model that may not be (see `refusal`), GenrecError where an artifact of it is not whole.
        """
        return self._add("promote", run_id, keys, why, figures or {}, digests or {})

    def refusal(self, run_id: str, keys: dict[str, str], digests: dict[str, str]) -> str:
        """Why a model may not go into service here; "" where it may."""
        if not self._is_of_generated_data(keys, digests):
            return ""
        for name in names(self.store):
            for record in reversed(Registry(self.store, name).history()):
                if not self._is_of_generated_data(record.keys, record.digests):
                    return (
                        f"{run_id} was trained on generated data (data.source synthetic), and this store serves other data "
                        f"({name}: {record.run_id}); give the demo a store of its own with --store"
                    )
        return ""

    def artifact(self, record: Record, stage: str) -> Artifact | None:
        """The artifact of a record's model: that with the recorded digest, else what is stored under its key now."""
        key, digest = record.keys[stage], record.digests.get(stage)
        recorded = self.store.lookup(key, digest) if digest else None
        return recorded or self.store.lookup(key)

    def roll_back(self, to: int | None = None) -> Record:
        """Put the model in service back that was there before, or that of change number `to`.

        Raises GenrecError when there is none, or when its artifacts are not in the store any more.
        """
        history = self.history()
        if not history:
            raise GenrecError(f"no model is in service under {self.name!r}")
        target = _before(history) if to is None else next((r for r in history if r.number == to), None)
        if target is None:
            numbers = ", ".join(str(r.number) for r in history)
            raise GenrecError(f"{self.name}: nothing to go back to; the history has the changes {numbers}")
        why = f"back from {history[-1].run_id} to change {target.number}"
        return self._add("roll_back", target.run_id, target.keys, why, {}, target.digests)

    def _add(
        self,
        action: str,
        run_id: str,
        keys: dict[str, str],
        why: str,
        figures: dict[str, Any],
        digests: dict[str, str],
    ) -> Record:
        if reason := self.refusal(run_id, keys, digests):
            raise Refused(reason)
        record = Record(0, action, run_id, dict(keys), why, figures, int(time.time()), digests)
        stored = {}
        for stage, key in keys.items():
            artifact = self.artifact(record, stage)
            if artifact is None:
                raise GenrecError(f"{run_id}: the artifact of {stage} ({key}) is not whole in the store; run it again")
            stored[stage] = artifact.digest
        with self.store.lock(f"service-{self.name}"):
            number = max((r.number for r in self.history()), default=0) + 1
            record = dataclasses.replace(record, number=number, digests=stored)
            text = json.dumps(dataclasses.asdict(record), indent=1, sort_keys=True) + "\n"
            self.store.write_document(f"{self.folder}/{number:06d}.json", text, new=True)
            try:
                self.store.write_document(f"{self.folder}/{CURRENT}", text)
            except OSError as error:  # the record stays: an endpoint may have loaded the model by now
                raise GenrecError(
                    f"{run_id}: is in service as {self.name} (change {number}), but {self.folder}/{CURRENT} in the store "
                    f"still has the change before it ({error.strerror or error})"
                ) from None
        return record

    def _is_of_generated_data(self, keys: dict[str, str], digests: dict[str, str]) -> bool:
        """Whether that is known, by the manifest of the ingest artifact; its other files are not read."""
        if "ingest" not in keys:
            return False
        path = self.store.object_path(keys["ingest"], digests.get("ingest"))
        try:
            return generates(json.loads((path / MANIFEST).read_bytes())["config"]["source"])
        except (OSError, ValueError, KeyError, TypeError):  # gone, or of a source that there is not any more
            return False

    def _read(self, name: str) -> Record:
        try:
            return Record(**json.loads(self.store.read_document(f"{self.folder}/{name}")))
        except (ValueError, TypeError) as error:
            raise GenrecError(
                f"{self.folder}/{name} in the store: not a record of a model in service ({error})"
            ) from None


def _before(history: list[Record]) -> Record | None:
    """What was in service before the model that is: two roll-backs in a row go back two models, not to and fro."""
    stack: list[Record] = []
    for record in history:
        if record.action == "roll_back" and any(r.keys == record.keys for r in stack):
            while stack and stack[-1].keys != record.keys:
                stack.pop()
        elif not stack or stack[-1].keys != record.keys:
            stack.append(record)
    return stack[-2] if len(stack) > 1 else None


def names(store: Store) -> list[str]:
    """The names that have a model in service; a first promotion that was cut off leaves a folder without one."""
    return [name for name in sorted(store.list_folders("service")) if _record_files(store, name)]


def _record_files(store: Store, name: str) -> list[str]:
    """The names of the files with the changes under a name, oldest first."""
    return sorted(n for n in store.list_documents(f"service/{name}") if _RECORD.fullmatch(n))
