"""Ingest: raw files to interactions.parquet, items.parquet and quarantine.parquet.

`plan` lists the shards, `read_shard` reads one (in any order, on any machine that sees the files), and
`genrec.data.merge.merge` puts the parts together. What comes out does not depend on how the files were cut.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from genrec import variants
from genrec.config import DataConfig
from genrec.data import event_rows, part_files, places
from genrec.data.damage import check_share, readable
from genrec.data.shards import Batch, Shard, SourceFile, cut_into_shards, shard_bytes
from genrec.event_log import Cut
from genrec.progress import Progress, silent

PACKAGE = "genrec.data.sources"


def source_files(config: DataConfig) -> list[SourceFile]:
    """The files to read; none for a source that generates them. Raises DataError where they are not there."""
    module, options = variants.build(PACKAGE, config.source, config.options)
    path = places.located(config.path) if config.path else None
    places.look_again(path)
    files: list[SourceFile] = places.reaching(path, lambda: module.find(path, options))
    check_share(files, config)
    return files


def fingerprint(config: DataConfig) -> dict[str, str]:
    """A digest of every source file by its name relative to the source folder; {} for a source that generates them."""
    files = sorted(source_files(config), key=lambda file: file.name)
    return {file.name: places.reaching(file.path, partial(places.digest, file.path)) for file in files}


def left_out(config: DataConfig) -> dict[str, str]:
    """Files of the source folder that are not read, by name, and why."""
    module, options = variants.build(PACKAGE, config.source, config.options)
    path = places.located(config.path) if config.path else None
    if path is None or not hasattr(module, "left_out"):
        return {}
    return places.reaching(path, lambda: module.left_out(path, options))


def plan(config: DataConfig, folder: Path, cut: Cut | None = None, log_folder: Path | None = None) -> list[Shard]:
    """The shards to read. A source that generates its files writes them to `folder`, which must stay until `merge`.

    cut: the events of the event log that are read besides, by way of a file in `log_folder`, which must stay as long.
    """
    module, options = variants.build(PACKAGE, config.source, config.options)
    if hasattr(module, "generate"):
        folder.mkdir(parents=True, exist_ok=True)
        files = module.generate(options, folder)
    else:
        files = source_files(config)
    if cut is not None and log_folder is not None:
        files = [*files, *event_rows.export(config, cut, log_folder)]
    return cut_into_shards(files)


def read_shard(shard: Shard, config: DataConfig, out: Path, progress: Progress = silent) -> None:
    """Read one shard into three part files in `out`: rows, rows set aside, and counts. Progress is in bytes."""
    if shard.from_log:
        batches = event_rows.read(shard)
    else:
        module, options = variants.build(PACKAGE, config.source, config.options)
        batches = _reached(shard.path, readable(shard, lambda shard: module.read(shard, options)))
    part_files.write(shard, batches, out, progress)


def read_shards(shards: list[Shard], config: DataConfig, out: Path, progress: Progress = silent) -> None:
    """Read several shards, one after the other."""
    for path in dict.fromkeys(shard.path for shard in shards):
        places.look_again(path)  # the process may have listed them for an earlier run
    sizes = [shard_bytes(shard) for shard in shards]
    for place, shard in enumerate(shards):
        read_shard(shard, config, out, partial(_further, progress, sum(sizes[:place]), sum(sizes)))


def _reached(path: Path, batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches; an error of the network on the way names the URL."""
    while (batch := places.reaching(path, lambda: next(batches, None))) is not None:
        yield batch


def _further(report: Progress, before: float, of_all: float, done: float, total: float, note: str = "", /) -> None:
    report(before + done, of_all, note)
