"""What a run needs from outside, checked before a server or Ray is started: store, input files, model folders."""

from collections.abc import Iterator
from pathlib import Path

from genrec.config import Config, DataConfig
from genrec.errors import DataError, GenrecError
from genrec.store.local import Store
from genrec.store.remote import is_url, local_root, open_store
from tasks.fingerprint import check_file, check_model, of_model
from tasks.hub import check_hub_model
from tasks.ray.made_on import ray_address


def check_outside(config: Config) -> None:
    """Whether the store can be written and what the config names is there and can be read.

    The options of the variants may lack their defaults (`early` of `genrec.config.load.validate`). Raises GenrecError, in
    one line with the setting, the value and the fix.
    """
    check_can_be_written(open_store(config.store))
    check_models(config)
    if "path" in config.embed.options:
        check_file("embed.options.path", config.embed.options["path"])
    if config.service.recommend:  # at the end of the run, which may be hours away
        for setting, file in config.recommend.files().items():
            check_file(setting, file)
    _check_data(config.data)


def check_can_be_written(store: Store) -> None:
    """Write a small file into the store's folder on this machine. Raises GenrecError where that fails."""
    try:
        with store.scratch() as folder:
            (folder / "probe").write_bytes(b"x")
    except OSError as error:
        raise GenrecError(f"store {store.root}: cannot be written ({error.strerror}); choose another --store") from None


def check_models(config: Config) -> None:
    """Whether the models that the config names are there: as folders, in the local cache of the hub, or on the hub.

    The hub is not asked where the run may do without it: where a stage of this store has loaded the model before, where
    the store is at a URL (others may have), and where the Ray workers of a cluster load it, with a cache of their own.
    Raises GenrecError.
    """
    for stage, setting, name, revision in _models(config):
        check_model(setting, name)
        if Path(name).is_dir() or is_url(config.store) or ray_address(config.resources):
            continue
        if not _has_loaded(Store(local_root(config.store)), stage, name, revision):
            check_hub_model(setting, name, revision)


def _models(config: Config) -> Iterator[tuple[str, str, str, str | None]]:
    """(stage, setting, name, revision); a default that the options still lack is left out."""
    if config.base.model != "scratch":
        yield "base", "base.model", config.base.model, config.base.revision
    if "model" in config.embed.options:
        options = config.embed.options
        yield "embed", "embed.options.model", options["model"], options.get("revision")


def _has_loaded(store: Store, stage: str, name: str, revision: str | None) -> bool:
    """Whether an artifact of the stage was made with a hub model."""
    reads = (manifest.get("config", {}) for manifest in store.manifests(stage))
    return any(of_model(name, revision) in (r.get("model"), r.get("options", {}).get("model")) for r in reads)


def _check_data(config: DataConfig) -> None:
    """The files that the source finds can be opened, and the event log."""
    from genrec.data.event_rows import check_log  # after the quick checks: they import polars and pyarrow
    from genrec.data.ingest import source_files

    check_log(config)
    try:
        for file in source_files(DataConfig.model_validate(config.model_dump())):
            with file.path.open("rb"):
                pass
    except OSError as error:
        place = Path(error.filename) if error.filename else config.path
        raise DataError(f"data.path: {place} cannot be read ({error.strerror})") from None
