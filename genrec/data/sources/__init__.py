"""Sources of raw events. Every module with a `Config` is one; its name is `data.source` in the config.

A source module defines

- `Config`: its settings, a frozen dataclass (`data.options`);
- `find(path, options) -> list[SourceFile]`: the files to read under `data.path`, or a DataError that says what is
  there instead;
- `read(shard, options) -> Iterator[Batch]`: the valid rows and the rows set aside of one shard, in bounded memory;
- optionally `left_out(path, options) -> dict[str, str]`: the files under `data.path` that are not read, and why;
- optionally `generate(options, folder) -> list[SourceFile]`: a source that makes its files needs no path.
"""
