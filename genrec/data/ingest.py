"""Ingest: raw files to interactions.parquet, items.parquet and quarantine.parquet.

`plan` lists the shards, `read_shard` reads one (in any order, on any machine that sees the files), and
`genrec.data.merge.merge` puts the parts together. What comes out does not depend on how the files were cut.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from genrec import variants
from genrec.config import DataConfig
from genrec.data import event_rows
from genrec.data.shards import ROW_TYPES, Shard, SourceFile, cut_into_shards, shard_bytes
from genrec.event_log import Cut
from genrec.progress import Progress, silent

PACKAGE = "genrec.data.sources"
_BAD_SCHEMA = pa.schema(
    [("line", pa.int64()), ("reason", pa.string()), ("detail", pa.string()), ("record", pa.string())]
)


def source_files(config: DataConfig) -> list[SourceFile]:
    """The files to read; none for a source that generates them. Raises DataError where they are not there."""
    module, options = variants.build(PACKAGE, config.source, config.options)
    return module.find(Path(config.path) if config.path else None, options)


def fingerprint(config: DataConfig) -> dict[str, str]:
    """SHA-256 of every source file by its name relative to the source folder; {} for a source that generates them."""
    digests = {}
    for file in source_files(config):
        with file.path.open("rb") as stream:
            digests[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return dict(sorted(digests.items()))


def left_out(config: DataConfig) -> dict[str, str]:
    """Files of the source folder that are not read, by name, and why."""
    module, options = variants.build(PACKAGE, config.source, config.options)
    return module.left_out(Path(config.path), options) if config.path and hasattr(module, "left_out") else {}


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
        batches = module.read(shard, options)
    out.mkdir(parents=True, exist_ok=True)
    stem = out / f"{shard.index:05d}"
    row_schema = pl.DataFrame(schema=ROW_TYPES[shard.kind]).to_arrow().schema
    num_rows = num_bad = num_lines = 0
    changes: Counter[str] = Counter()
    num_bytes, note = shard_bytes(shard), f"bytes of {shard.name}"
    with (
        pq.ParquetWriter(f"{stem}-rows.parquet", row_schema) as rows_writer,
        pq.ParquetWriter(f"{stem}-bad.parquet", _BAD_SCHEMA) as bad_writer,
    ):
        for batch in batches:
            num_rows += batch.rows.height
            num_bad += len(batch.bad)
            num_lines = batch.num_lines
            changes.update(batch.changes)
            if batch.rows.height:
                rows_writer.write_table(batch.rows.to_arrow().cast(row_schema))
            if batch.bad:
                bad = [row._asdict() for row in batch.bad]
                bad_writer.write_table(pa.Table.from_pylist(bad, schema=_BAD_SCHEMA))
            progress(batch.share * num_bytes, num_bytes, note)
    progress(num_bytes, num_bytes, note)
    counts = {"kind": shard.kind, "file": shard.name, "lines": num_lines, "rows": num_rows, "bad": num_bad}
    counts["changes"] = dict(changes)
    counts["from_log"] = shard.from_log
    Path(f"{stem}.json").write_text(json.dumps(counts, sort_keys=True))
