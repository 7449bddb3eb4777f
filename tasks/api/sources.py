"""Where the model of an endpoint comes from: the one in service in a store, or an exported folder."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from genrec.errors import GenrecError
from genrec.in_service.registry import Registry
from genrec.serve import bundle, model_files
from genrec.serve.model_files import ModelFiles
from genrec.serve.new_items import NewItemIds
from genrec.serve.recommender import Limits, load_engine
from genrec.store.local import Store
from genrec.tables import USERS_FILE
from tasks.api.histories import UserHistories, no_histories
from tasks.api.live import Loaded


class InStore:
    """The model in service under a name; while there is none, that of the latest finished run with one."""

    def __init__(
        self,
        store: Store,
        name: str,
        device: str | None = None,
        limits: Limits | None = None,
        rank: bool | None = None,
    ) -> None:
        """`rank` as in `model_files.in_store`."""
        self._store, self._name, self._device, self._limits, self._rank = store, name, device, limits, rank

    def version(self) -> Hashable:
        """Number of the change that put it in service; None while nothing is."""
        try:
            return Registry(self._store, self._name).version()
        except GenrecError:
            return None

    def load(self) -> Loaded:
        """The model, its files verified against their digests. Raises GenrecError for what is missing or damaged."""
        version = self.version()
        if version is None:
            files = model_files.of_latest(self._store, self._rank)
        else:
            files = model_files.in_store(self._store, None, self._name, self._rank)
        prepared = files.catalogue.parent
        kept = files.report.get("config", {}).get("prepare", {}).get("events")
        return Loaded(
            load_engine(files, self._device, self._limits),
            new_ids(files),
            files.where,
            version,
            UserHistories(prepared) if USERS_FILE.path(prepared).is_file() else no_histories,
            None if kept is None else frozenset(kept),
            learns_first_events(files),
        )


class Exported:
    """The model of an exported folder, which never changes."""

    def __init__(
        self, folder: Path, device: str | None = None, limits: Limits | None = None, rank: bool | None = None
    ) -> None:
        """rank False: without the ranking that the folder may hold."""
        self._folder, self._device, self._limits, self._rank = folder, device, limits, rank

    def version(self) -> Hashable:
        """Always the same."""
        return 0

    def load(self) -> Loaded:
        """The model. Raises GenrecError for a folder that is none, or is damaged."""
        files = bundle.read(self._folder, self._rank)
        engine = load_engine(files, self._device, self._limits)
        return Loaded(engine, new_ids(files), files.where, 0, dedupe=learns_first_events(files))


class OfRun:
    """The model of a run of a store, which never changes."""

    def __init__(
        self,
        store: Store,
        run: str,
        device: str | None = None,
        limits: Limits | None = None,
        rank: bool | None = None,
    ) -> None:
        """`rank` as in `model_files.in_store`. Raises GenrecError for a run that the store does not have, naming those it has."""
        self._files, self._device, self._limits = model_files.in_store(store, run, rank=rank), device, limits

    def version(self) -> Hashable:
        """Always the same."""
        return 0

    def load(self) -> Loaded:
        """The model. Raises GenrecError for files that are missing or damaged."""
        engine = load_engine(self._files, self._device, self._limits)
        return Loaded(engine, new_ids(self._files), self._files.where, 0)


def learns_first_events(files: ModelFiles) -> bool:
    """Whether a model learned from a user's first event with an item alone; without a report of its run, as by default."""
    prepare = files.report.get("config", {}).get("prepare", {})
    # A split that is given keeps every row, whatever `dedupe` says.
    return prepare.get("dedupe", "user_item") == "user_item" and prepare.get("split") != "given"


def new_ids(files: ModelFiles) -> NewItemIds:
    """What gives ids to items that come in while a model is served."""
    return NewItemIds(files.encoder, files.embed, files.sids)
