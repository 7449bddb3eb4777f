"""From settings to a service that can run: the model, the event log, the catalogue's changes, the token."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genrec.config import ApiConfig
from genrec.errors import GenrecError
from genrec.event_log import log_of_store, open_log
from genrec.event_log.database import Database
from genrec.in_service.registry import names
from genrec.serve.experiment import Experiment, ImpressionLog
from genrec.serve.model_files import of_latest
from genrec.store.local import Store, is_store
from genrec.store.remote import is_folder, local_root, open_store
from genrec.store.secret_file import secret_in
from tasks.api.journal import Journal
from tasks.api.live import ModelSource
from tasks.api.service import Service, Trial

if TYPE_CHECKING:
    from genrec.serve.recommender import Limits

TOKEN = "GENREC_API_TOKEN"  # variable with the token of the endpoints of a cluster
_BUSY_TIMEOUT_S = 1.0  # a request waits no longer for another writer of the event log


class Place(NamedTuple):
    """Which model is served, and where its endpoint keeps what it writes.

    store: folder or URL. name: of the model in service, "" for the only one. export: an exported folder, "" for a model of
    the store. beside: another model that answers those who ask for it, the id of a run or an exported folder; "" for none.
    rank: whether lists are ranked where a model has a ranking of use; None: as its run was set.
    """

    store: str
    name: str = ""
    export: str = ""
    beside: str = ""
    rank: bool | None = None

    @property
    def home(self) -> Path:
        """The folder of the token and of the lock that lets one endpoint serve a store."""
        return local_root(self.store).absolute() / "api"


def token_of(place: Place) -> tuple[str, bool]:
    """The token of the endpoint, and whether it was made just now: of the environment, else of a file."""
    if given := os.environ.get(TOKEN):
        return given, False
    return secret_in(token_file(place), lambda: secrets.token_urlsafe(24), "token of the endpoint")


def token_file(place: Place) -> Path:
    return place.home / "token"


def resolved(place: Place) -> Place:
    """The place with the name of the model to serve. Raises GenrecError where there is none yet, with the command that
    trains one; quick, for nothing of the model is read.
    """
    if place.export:
        return place
    if is_folder(place.store) and not is_store(local_root(place.store)):
        raise GenrecError(_nothing(place))
    return place._replace(name=_name(place, open_store(place.store)))


def source_of(place: Place, config: ApiConfig) -> ModelSource:
    """Where the model of a place comes from. Raises what `resolved` raises."""
    place = resolved(place)
    from tasks.api.sources import Exported, InStore  # torch: slow to import, and the messages of `resolved` need none

    limits = _limits(config)
    if place.export:
        return Exported(Path(place.export), limits=limits, rank=place.rank)
    return InStore(open_store(place.store), place.name, limits=limits, rank=place.rank)


def _limits(config: ApiConfig) -> Limits:
    """What the settings let an engine take of its device."""
    from genrec.serve.recommender import Limits

    return Limits(config.max_batch, config.max_kv_gib, config.compile, config.max_k)


def beside_of(place: Place, config: ApiConfig) -> ModelSource | None:
    """Where the model beside comes from; None for a place without one. Raises GenrecError where it is not there."""
    from tasks.api.sources import Exported, OfRun

    if not place.beside:
        return None
    limits = _limits(config)
    if Path(place.beside).is_dir():
        return Exported(Path(place.beside), limits=limits, rank=place.rank)
    if place.export and not local_root(place.store).is_dir():
        raise GenrecError(f"--beside {place.beside}: no such folder, and there is no store whose run it could be")
    return OfRun(open_store(place.store), place.beside, limits=limits, rank=place.rank)


def _name(place: Place, store: Store) -> str:
    """The name to serve under: the one that was asked for, the only one in service, else that of the latest run."""
    known = names(store)
    if place.name and known and place.name not in known:
        raise GenrecError(f"no model is in service under {place.name!r}; there are {', '.join(known)}")
    if place.name:
        return place.name
    if len(known) > 1:
        raise GenrecError(f"several models are in service: {', '.join(known)}; choose one with --name")
    if known:
        return known[0]
    try:
        return str(of_latest(store).report["name"])
    except GenrecError as error:
        runs = store.root / "runs"
        is_empty = not (runs.is_dir() and any(runs.iterdir()))
        raise GenrecError(_nothing(place) if is_empty else f"{_nothing(place)} ({error})") from None


def _nothing(place: Place) -> str:
    return (
        f"store {local_root(place.store)}: no model is in service and no finished run has one; train one: "
        f"python -m flows run --config conf/demo.yaml --store {place.store}"
    )


def open_service(place: Place, config: ApiConfig, experiment: Experiment | None = None) -> Service:
    """The service of a place; its model is loaded when it starts to run. Raises GenrecError that says what is missing."""
    source = source_of(place, config)
    if experiment is not None:
        place = place._replace(beside=experiment.candidate)
    beside = beside_of(place, config)
    where = config.events or str(log_of_store(local_root(place.store)))
    events = open_log(where, busy_timeout_s=_BUSY_TIMEOUT_S)
    journal = Journal(Database(where, True, _BUSY_TIMEOUT_S))
    trial = None
    if experiment is not None:
        trial = Trial(experiment, ImpressionLog.open(local_root(place.store), experiment, events.name))
    return Service(config, source, events, journal, token_of(place)[0], beside, trial)
