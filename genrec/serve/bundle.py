"""A model as a folder of its own: everything a `Recommender` needs, on a machine that has torch, transformers, peft, numpy
and pyarrow and neither the store nor the rest of genrec's packages.

    README.md        model card: data, protocol, figures, how to load it
    manifest.json    what it is, and size and sha256 of every file; written last
    report.json      figures of its run, where there is a report
    items.parquet    item id, title, brand, categories, training events (popularity); row i is item i
    ids/             semantic ids (the trie is rebuilt from them), codebooks, quality report
    encoder/         text vectors of the items, and the text encoder where it is one that is fitted on a catalogue
    model/           Hugging Face model folder, or PEFT adapter, with tokenizer and item vectors
    base/            the base model of an adapter
    ranking/         the stage rank's channels, models and steps, where its run serves ranked lists (service.rank)

Digests tell damage, not forgery: load folders from those you trust with a customer's history. Nothing in them is executed.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genrec.errors import DataError, GenrecError
from genrec.model.folder import read_meta
from genrec.serve.catalogue import COLUMNS
from genrec.serve.model_card import model_card
from genrec.serve.model_files import RANKED, ModelFiles, ranking_of
from genrec.store.artifact import Disk, sha256
from genrec.tables import CATALOGUE, read_table, write_table

MANIFEST = "manifest.json"
FORMAT = "genrec-model-1"
ITEMS, IDS, ENCODER, MODEL, BASE, RANKING, REPORT, CARD = (
    "items.parquet", "ids", "encoder", "model", "base", "ranking", "report.json", "README.md"
)  # fmt: skip
_LEFT_OUT = ("manifest.json", "training_log.parquet")  # of the store, and of training alone


def is_bundle(folder: Path) -> bool:
    """Whether a folder is an exported model, damaged or not."""
    try:
        return json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("format", "").startswith("genrec-model-")
    except (OSError, ValueError, AttributeError):
        return all((folder / part).exists() for part in (ITEMS, IDS, MODEL))


def write(files: ModelFiles, folder: Path, force: bool = False) -> dict[str, Any]:
    """Export a model to `folder`, all or nothing; returns the manifest. With `force` it takes the place of an older export.

    Raises GenrecError where the folder holds something else, or cannot be written.
    """
    folder = folder.absolute()
    _check_free(folder, force)
    disk, temporary = Disk(), folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}"
    try:
        try:
            disk.mkdir(temporary)
            _copy(files, temporary)
            manifest = _manifest(files, temporary)
            (temporary / CARD).write_text(model_card(files, manifest), encoding="utf-8")
            _settle(temporary, manifest, disk)
            _put_in_place(temporary, folder, disk)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise GenrecError(f"{folder}: cannot be written ({error.strerror or error}); nothing was exported") from error
    return manifest


def read(folder: Path, rank: bool | None = None) -> ModelFiles:
    """The files of an exported model, every one checked against the manifest; rank False: without its ranking.

    Raises DataError that names the file which is missing or damaged.
    """
    manifest = _read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path}: is missing from the exported model; export it again")
        if path.stat().st_size != expected["bytes"] or sha256(path) != expected["sha256"]:
            raise DataError(f"{path}: is damaged (its bytes are not those that were exported); export it again")
    for part in (IDS, ENCODER, MODEL, BASE, RANKING):  # weights that were put beside would be loaded
        for path in _files_below(folder / part):
            if path.relative_to(folder).as_posix() not in manifest["files"]:
                raise DataError(f"{path}: is no part of the exported model; remove it")
    report, ranking = folder / REPORT, folder / RANKING
    there = ranking.is_dir()
    ranking_, note = ranking_of(ranking if there else None, bool(rank) if rank is not None else there)
    return ModelFiles(
        model_key=manifest["model_key"],
        run_id=manifest["run_id"],
        where=f"exported from {manifest['where']}{note}",
        catalogue=folder / ITEMS,
        sids=folder / IDS,
        model=folder / MODEL,
        base=folder / BASE if (folder / BASE).is_dir() else None,
        embed=folder / ENCODER,
        encoder=manifest["encoder"],
        beam_width=manifest["beam_width"],
        precision=manifest["precision"],
        report=json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {},
        ranking=ranking_,
    )


# ---- writing ----------------------------------------------------------------------------------------------------------


def _check_free(folder: Path, force: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GenrecError(f"{folder}: is a file; name a folder to export to")
    present = sorted(path.name for path in folder.iterdir())
    if not present or (force and is_bundle(folder)):
        return
    if is_bundle(folder):
        raise GenrecError(f"{folder}: holds an exported model already; --force puts the new one in its place")
    raise GenrecError(
        f"{folder}: is not empty and no exported model (it holds {', '.join(present[:5])}); name a new folder"
    )


def _copy(files: ModelFiles, to: Path) -> None:
    schema = CATALOGUE.empty_table().select(COLUMNS).schema
    write_table(read_table(files.catalogue, columns=COLUMNS), to / ITEMS, schema)
    _copy_folder(files.sids, to / IDS)
    _copy_folder(files.embed, to / ENCODER)
    _copy_folder(files.model, to / MODEL)
    if read_meta(files.model).get("adapter", "full") != "full":
        if files.base is None:
            raise DataError(f"{files.model}: holds an adapter, and the folder of its base is not there")
        _copy_folder(files.base, to / BASE)
    if files.ranking is not None:
        from genrec.serve.ranked.files import copy

        copy(files.ranking, to / RANKING)
    if files.report:
        (to / REPORT).write_text(json.dumps(files.report, indent=1) + "\n", encoding="utf-8")


def _copy_folder(source: Path, target: Path) -> None:
    for path in _files_below(source):
        if path.name not in _LEFT_OUT:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _manifest(files: ModelFiles, folder: Path) -> dict[str, Any]:
    base = files.report.get("config", {}).get("base", {})
    encoder = {name: files.encoder[name] for name in ("method", "fields", "options") if name in files.encoder}
    return {
        "format": FORMAT,
        "model_key": files.model_key,
        "run_id": files.run_id,
        "where": files.where.removesuffix(RANKED),
        "beam_width": files.beam_width,
        "precision": files.precision,
        "encoder": encoder,
        "adapter": read_meta(files.model).get("adapter", "full"),
        "base": {
            "folder": BASE if (folder / BASE).is_dir() else MODEL,  # where its weights are: never to be downloaded
            "trained_from": base.get("model"),
            "revision": base.get("revision"),
        },
    }


def _settle(folder: Path, manifest: dict[str, Any], disk: Disk) -> None:
    """Write the manifest, the last of the files, and make all of them durable."""
    manifest["files"] = {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in _files_below(folder)
    }
    for path in _files_below(folder):
        disk.fsync(path)
    manifest["digest"] = _digest(manifest)
    disk.write(folder / MANIFEST, (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode())
    disk.fsync(folder / MANIFEST)
    for path in [*(path for path in folder.rglob("*") if path.is_dir()), folder]:
        disk.fsync(path)


def _put_in_place(temporary: Path, folder: Path, disk: Disk) -> None:
    """Rename; an older export steps aside for that moment and comes back where it fails."""
    aside = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.old"
    replaced = folder.exists()
    if replaced:
        disk.rename(folder, aside)
    try:
        disk.rename(temporary, folder)
    except OSError:
        if replaced:
            disk.rename(aside, folder)
        raise
    disk.fsync(folder.parent)
    if replaced:
        shutil.rmtree(aside, ignore_errors=True)


# ---- reading ----------------------------------------------------------------------------------------------------------


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: is missing from the exported model; export it again") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is damaged ({error}); export the model again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise DataError(f"{path}: is of format {found!r} where {FORMAT!r} is read; export the model with this version")
    if manifest.get("digest") != _digest(manifest):
        raise DataError(f"{path}: is damaged (its digest differs); export the model again")
    return manifest


def _digest(manifest: Mapping[str, Any]) -> str:
    """sha256 of the manifest without its own digest."""
    content = {name: value for name, value in manifest.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and those below it, sorted; none where it is not there."""
    return iter(sorted(path for path in folder.rglob("*") if path.is_file()))
