"""Where the files of a trained model are: of the one in service in a store, of a run, or of an exported folder."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrec.errors import DataError, GenrecError

if TYPE_CHECKING:  # an exported folder is read without them
    from genrec.in_service.registry import Record
    from genrec.store.local import Store

LATEST = "latest"
RANKED = ", ranked"  # in the words for a model whose lists are ranked
_STAGES = ("prepare", "embed", "sid", "base", "sft")  # that a model needs; rl, evaluate and baselines where they are


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A trained model and what belongs to it.

    Args:
        model_key: key of the model's artifact.
        run_id: the run that trained it.
        where: what was loaded, in words: "run ..., in service as demo".
        catalogue: file of the items, with the columns of `genrec.serve.catalogue`.
        sids: folder of the sid artifact.
        model: folder of the rl or sft artifact.
        base: folder of the base model; None where the model is whole without it.
        embed: folder of the embed artifact.
        encoder: settings that texts were encoded with: method, fields, options.
        beam_width, precision: of the evaluation.
        report: report.json, {} where there is none.
        ranking: folder of the rank artifact, or of what an export holds of it, where lists are to be ranked; else None.
    """

    model_key: str
    run_id: str
    where: str
    catalogue: Path
    sids: Path
    model: Path
    base: Path | None
    embed: Path
    encoder: Mapping[str, Any]
    beam_width: int = 20
    precision: str = "fp32"
    report: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ranking: Path | None = None


def in_store(store: Store, run: str | None = None, name: str | None = None, rank: bool | None = None) -> ModelFiles:
    """The files of a run (an id, or `latest`), or of the model in service under `name`; where neither is given, of the one
    model in service, or, with none in service, of the latest finished run that has a model.

    rank: whether lists are to be ranked where the run has a ranking that is of use; None: as the run's service.rank says.

    Raises GenrecError that lists what there is.
    """
    from genrec.in_service import registry

    known = registry.names(store)
    if run is not None and run not in known:
        return _of_run(store, run, rank)
    name = name or run
    if name is None and not known:
        return of_latest(store, rank)
    if name is None and len(known) > 1:
        raise GenrecError(
            f"store {store.root}: several models are in service, {', '.join(known)}; give the name of one"
        )
    if name is not None and name not in known:
        there = f"there are {', '.join(known)}" if known else "none is"
        raise GenrecError(f"store {store.root}: no model is in service under {name!r}; {there}")
    found = registry.Registry(store, name or known[0])
    record = found.current()
    assert record is not None
    return _of_record(store, found, record, rank)


def _of_record(store: Store, registry: Any, record: Record, rank: bool | None) -> ModelFiles:
    try:
        report = json.loads(store.read_document(f"runs/{record.run_id}/report.json"))
    except (GenrecError, ValueError):
        report = {}  # a run's report may be pruned; its artifacts say what is needed
    where = f"{record.run_id}, in service as {registry.name}"
    return _files(store, record.run_id, where, record.keys, record.digests, report, rank)


def of_latest(store: Store, rank: bool | None = None) -> ModelFiles:
    """The files of the latest finished run that has a model: one that was stopped early (`--until`) has none.

    `rank` as in `in_store`. Raises GenrecError where there is no such run.
    """
    for run in itertools.chain([LATEST], store.finished_runs()):
        with contextlib.suppress(GenrecError):
            if {stage["name"] for stage in _report(store, run)["stages"]}.issuperset(_STAGES):
                break
    else:
        run = LATEST  # says what is wrong with it
    found = _of_run(store, run, rank)
    which = "the latest" if run == LATEST else "the latest with a model"
    return dataclasses.replace(found, where=f"{found.where}, {which}; nothing is in service")


def _of_run(store: Store, run: str, rank: bool | None) -> ModelFiles:
    report = _report(store, run)
    keys, digests = ({stage["name"]: stage.get(what) for stage in report["stages"]} for what in ("key", "digest"))
    return _files(store, report["run_id"], f"run {report['run_id']}", keys, digests, report, rank)


def _report(store: Store, run: str) -> dict[str, Any]:
    run = store.run_named(run)
    path = store.root / "runs" / run / "report.json"
    try:
        text = path.read_text() if path.is_file() else store.read_document(f"runs/{run}/report.json")
        return json.loads(text)
    except (GenrecError, ValueError):
        finished = [*itertools.islice(store.finished_runs(), 5)][::-1]
        known = f"finished runs: {', '.join(finished)}" if finished else "there is no finished run; train one first"
        raise GenrecError(f"{path}: no readable report of a run; {known}") from None


def _files(
    store: Store,
    run_id: str,
    where: str,
    keys: Mapping[str, str],
    digests: Mapping[str, str | None],
    report: Mapping[str, Any],
    rank: bool | None,
) -> ModelFiles:
    if missing := [stage for stage in _STAGES if stage not in keys]:
        raise GenrecError(
            f"{where}: stopped before the stage {missing[0]}; only a run with a trained model can be loaded"
        )
    model = "rl" if "rl" in keys else "sft"
    config = report.get("config", {})
    wanted = bool(config.get("service", {}).get("rank")) if rank is None else rank
    ranked = {"rank"} if wanted and "rank" in keys else set()
    paths = {}
    for stage in {*_STAGES, model, *ranked}:
        artifact = store.lookup(keys[stage], digests.get(stage)) or store.lookup(keys[stage])
        if artifact is None:
            raise GenrecError(
                f"{where}: the artifact of {stage} ({keys[stage]}) is missing or damaged in {store.root}; run it again"
            )
        paths[stage] = artifact.path
    ranking, note = ranking_of(paths.get("rank"), wanted)
    if not report and rank is None and "rank" in keys:
        note = "; not ranked: its report.json, which says whether to, is gone; service.rank=true ranks"
    evaluated = config.get("evaluate") or _config_of(store, keys.get("evaluate"))
    return ModelFiles(
        model_key=keys[model],
        run_id=run_id,
        where=where + note,
        catalogue=paths["prepare"] / "catalogue.parquet",
        sids=paths["sid"],
        model=paths[model],
        base=paths["base"],
        embed=paths["embed"],
        encoder=config.get("embed") or _config_of(store, keys["embed"]),
        beam_width=evaluated.get("beam_width", ModelFiles.beam_width),
        precision=evaluated.get("precision", ModelFiles.precision),
        report=report,
        ranking=ranking,
    )


def ranking_of(folder: Path | None, wanted: bool) -> tuple[Path | None, str]:
    """(the folder of a rank artifact where lists are to be ranked by it, what to add to the words for the model).

    Raises DataError where the folder's rank.json cannot be read.
    """
    if not wanted:
        return None, ""
    if folder is None:
        return None, "; not ranked: it has no stage rank (rank.enabled)"
    from genrec.serve.ranked.files import read_facts

    if not read_facts(folder)["use"]:
        return None, "; not ranked: validation saw no gain"
    return folder, RANKED


def _config_of(store: Store, key: str | None) -> dict[str, Any]:
    """The settings that an artifact was made with, {} where they cannot be read."""
    artifact = store.lookup(key) if key else None
    return dict(store.manifest(artifact)["config"]) if artifact is not None else {}


def in_store_at(path: str, run: str | None = None, name: str | None = None, rank: bool | None = None) -> ModelFiles:
    """The files in a store (its folder or URL), or of the folder of a run in one; `rank` as in `in_store`. Raises GenrecError where it is neither."""
    from genrec.store.remote import is_url, open_store

    if is_url(path):
        return in_store(open_store(path), run, name, rank)
    folder = Path(path).expanduser()
    if (folder / "report.json").is_file() and folder.parent.name == "runs":
        if run is not None or name is not None:
            raise DataError(f"{folder}: is the folder of one run; give no other run and no name beside it")
        folder = folder.resolve()
        return in_store(open_store(str(folder.parent.parent)), folder.name, rank=rank)
    if (folder / "objects").is_dir() and (folder / "runs").is_dir():
        return in_store(open_store(str(folder)), run, name, rank)
    there = f"it holds {sorted(p.name for p in folder.iterdir())[:8]}" if folder.is_dir() else "there is no such folder"
    raise DataError(
        f"{folder}: neither a store, nor the folder of a finished run in one, nor an exported model; {there}. Give the "
        "folder that --store named (.genrec by default), or one that `python -m flows export` wrote"
    )
