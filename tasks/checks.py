"""What a run needs from outside, checked before a server or Ray is started: store, input files, model folders."""

from pathlib import Path

from genrec.config import Config, DataConfig
from genrec.errors import DataError
from genrec.store.remote import open_store
from tasks.fingerprint import check_file, check_model


def check_outside(config: Config) -> None:
    """Whether the store can be written and what the config names is there and can be read.

    The options of the variants may lack their defaults (`early` of `genrec.config.load.validate`). Raises GenrecError, in
    one line with the setting, the value and the fix.
    """
    open_store(config.store)
    if config.base.model != "scratch":
        check_model("base.model", config.base.model)
    if "model" in config.embed.options:
        check_model("embed.options.model", config.embed.options["model"])
    if "path" in config.embed.options:
        check_file("embed.options.path", config.embed.options["path"])
    _check_data(config.data)


def _check_data(config: DataConfig) -> None:
    """The files that the source finds can be opened."""
    from genrec.data.ingest import source_files  # after the quick checks: it imports polars and pyarrow

    try:
        for file in source_files(DataConfig.model_validate(config.model_dump())):
            with file.path.open("rb"):
                pass
    except OSError as error:
        place = Path(error.filename) if error.filename else config.path
        raise DataError(f"data.path: {place} cannot be read ({error.strerror})") from None
