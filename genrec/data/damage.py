"""Files that cannot be read, or not to their end: named, set aside, and the others read as if these were not there.

A file that does not begin as its name says is found while files are listed; one that breaks off, when it is read. Few of
them (`data.max_damaged_files`) are left out whole. Where they are more, a truncated file is read up to the cut and an
unreadable one stops the run, for then it is likelier that the settings are wrong than the files.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from genrec.config import DataConfig
from genrec.data import part_files
from genrec.data.shards import UNREADABLE, BadRow, Batch, Shard, SourceFile, empty_rows
from genrec.errors import DamagedFile, DataError

_NAMED = 3


def checked(file: SourceFile, check: Callable[[], object]) -> SourceFile:
    """The file, with what is wrong with it where `check` raises DamagedFile."""
    try:
        check()
    except DamagedFile as error:
        return dataclasses.replace(file, damage=str(error))
    return file


def check_share(files: Sequence[SourceFile], config: DataConfig) -> None:
    """Raises DataError where more than `data.max_damaged_files` of the files of a kind cannot be read."""
    for kind in ("interactions", "items"):
        of_kind = [file for file in files if file.kind == kind]
        damaged = {file.name: file.damage for file in of_kind if file.damage}
        if len(damaged) > config.max_damaged_files * len({file.name for file in of_kind}):
            raise DataError(_too_many(kind, damaged, len(of_kind), config))


def readable(shard: Shard, read: Callable[[Shard], Iterator[Batch]]) -> Iterator[Batch]:
    """The batches of a shard; where the file cannot be read (further), one more with a row that says why."""
    num_lines = 0
    try:
        if shard.damage:
            raise DamagedFile(shard.damage)
        for batch in read(shard):
            num_lines = batch.num_lines
            yield batch
    except DamagedFile as error:
        row = BadRow(num_lines + 1, UNREADABLE, str(error), "")
        yield Batch(empty_rows(shard.kind), [row], num_lines + 1, 1.0)


def settle(parts: Path, config: DataConfig) -> list[str]:
    """Set files aside whose parts say that they are damaged; sentences that name them. It may be done again.

    Raises DataError where they are too many to be left out, and may not or cannot be read up to the damage.
    """
    marks = {path: json.loads(path.read_text()) for path in part_files.marks(parts)}
    sentences = []
    for kind in ("interactions", "items"):
        of_kind = {path: c for path, c in marks.items() if c["kind"] == kind and not c["from_log"]}
        damaged = {c["file"]: c["damage"] for c in of_kind.values() if c.get("damage")}
        if not damaged:
            continue
        num_files = len({c["file"] for c in of_kind.values()})
        left_out = _left_out(kind, damaged, num_files, config)
        if left_out:
            for path, counts in of_kind.items():
                if counts["file"] in damaged:
                    part_files.set_aside(path)
        sentences.append(_in_words(kind, damaged, num_files, left_out))
    return sentences


def _left_out(kind: str, damaged: dict[str, dict[str, str]], num_files: int, config: DataConfig) -> bool:
    """Whether the damaged files of a kind are left out whole; else they are read up to the damage."""
    most = config.max_damaged_files * num_files
    must = {name: why for name, why in damaged.items() if why["reason"] == UNREADABLE}
    if config.damaged_files == "set_aside":
        must = damaged
    if len(must) > most:
        raise DataError(_too_many(kind, {name: why["detail"] for name, why in must.items()}, num_files, config))
    return config.damaged_files != "keep_rows" and len(damaged) <= most


def _in_words(kind: str, damaged: dict[str, dict[str, str]], num_files: int, left_out: bool) -> str:
    shown = [f"{name} ({damaged[name]['detail'].removeprefix(f'{name}: ')})" for name in sorted(damaged)[:_NAMED]]
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    done = "left out" if left_out else "read up to the damage"
    return (
        f"{len(damaged)} of {num_files} files of {kind} are damaged and {done}: {', '.join(shown)}{more}; "
        "quarantine.parquet names each"
    )


def _too_many(kind: str, damaged: dict[str, str], num_files: int, config: DataConfig) -> str:
    """What is wrong with the first file and, where there are others, how many."""
    first = min(damaged)
    why = damaged[first] if damaged[first].startswith(f"{first}: ") else f"{first}: {damaged[first]}"
    if num_files == 1:
        return why
    return (
        f"{why}. {len(damaged)} of {num_files} files of {kind} are damaged, more than data.max_damaged_files = "
        f"{config.max_damaged_files:g}: mend or remove them, or raise the share"
    )
