"""Ids from one day to the next: known items keep theirs, new ones get theirs from the frozen codebooks.

An id is never given to a second item, not even when its item leaves the catalogue: it may come back. Where the
codebooks cannot be kept, `keep_ids` raises CannotKeep with the reason, and the caller fits them again.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from genrec.embed.vectors import read_item_vectors
from genrec.errors import DataError
from genrec.sid.artifact import (
    code_lists,
    code_matrix,
    read_inputs,
    read_quality,
    summary_of,
    write_quality,
    write_sids,
)
from genrec.sid.daily.new_items import NewIds, drift, extend
from genrec.sid.fusion import FUSION_FILE, Fusion
from genrec.sid.quality import ids_report
from genrec.sid.tokenizer_files import META_FILE, TENSORS_FILE, load_tokenizer, read_meta
from genrec.tables import KNOWN_IDS_FILE, SIDS_FILE, VECTORS_FILE, known_ids_schema, read_sids, read_table

if TYPE_CHECKING:
    from genrec.config import SidConfig

_SAME = 0.05  # relative distance of two vectors of one item that count as the same
_CHANGED_SHARE = 0.5  # of the items both catalogues have: with more changes the vectors are of another space


class CannotKeep(Exception):
    """The codebooks have to be fitted again; the message says why."""


def keep_ids(
    vectors_path: Path,
    catalogue_path: Path,
    config: SidConfig,
    out: Path,
    *,
    previous: Path,
    previous_catalogue: Path,
    previous_vectors: Path,
    train_path: Path | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Write a sid artifact for a grown catalogue into `out`, with the codebooks and the ids of an earlier one.

    Args:
        vectors_path, catalogue_path, train_path: of the new catalogue, as `genrec.sid.assign.assign` takes them.
        config: the settings of the earlier artifact.
        out: existing folder. Gets what `assign` writes and known.parquet (`genrec.tables.known_ids_schema`).
        previous, previous_catalogue, previous_vectors: the folder of the earlier sid artifact, its catalogue.parquet,
            and the folder of its embed artifact.

    Returns:
        The summary of `assign`, and ids "kept", num_new (items that got an id now), num_since_fit (since the codebooks
        were fitted), and error_ratio of those (see `genrec.sid.daily.new_items.Drift`), null where it cannot be told.

    Raises:
        CannotKeep: the vectors are of another space, no ids are left, or the codebooks have drifted.
        DataError: an artifact is missing or damaged.
    """
    vectors, catalogue = read_inputs(vectors_path, catalogue_path, config)
    _check_space(vectors, catalogue, VECTORS_FILE.path(previous_vectors), previous_catalogue)
    known = _known(previous, previous_catalogue)
    place = pc.index_in(catalogue["item_id"], value_set=known["item_id"].combine_chunks())
    is_new = pc.is_null(place).to_numpy(zero_copy_only=False)
    if is_new.any():
        known = _with_new(known, catalogue.filter(pa.array(is_new)), vectors[is_new], previous, device)
        place = pc.index_in(catalogue["item_id"], value_set=known["item_id"].combine_chunks())
    ratio = _check_drift(known, previous)
    rows = known.take(place)
    final, raw = code_matrix(rows["sid"]), code_matrix(rows["raw"])
    for name in (TENSORS_FILE, META_FILE, FUSION_FILE):
        if (previous / name).is_file():
            shutil.copyfile(previous / name, out / name)
    write_sids(final, raw, SIDS_FILE.path(out))
    KNOWN_IDS_FILE.write(known, out, known_ids_schema(raw.shape[1], final.shape[1]))
    report = _quality(vectors, catalogue, config, raw, final, previous, train_path, device)
    write_quality(report, out)
    since = known.num_rows - known["squared_error"].null_count
    kept = {"ids": "kept", "num_new": int(is_new.sum()), "num_since_fit": since, "error_ratio": ratio}
    return {**summary_of(report), **kept}


def _check_space(vectors: np.ndarray, catalogue: pa.Table, old_path: Path, old_catalogue: Path) -> None:
    """Raise CannotKeep unless common items have their old vectors: codebooks are of use with one encoder only."""
    old = read_item_vectors(old_path)
    if old.shape[1] != vectors.shape[1]:
        raise CannotKeep(f"the vectors have {vectors.shape[1]} dimensions, those of the ids in service {old.shape[1]}")
    ids = read_table(old_catalogue, columns=["item_id"])["item_id"].combine_chunks()
    place = pc.index_in(catalogue["item_id"], value_set=ids)
    common = pc.is_valid(place).to_numpy(zero_copy_only=False)
    if not common.any():
        raise CannotKeep("the catalogues have no item in common")
    before = old[place.filter(pc.is_valid(place)).to_numpy()]
    distance = np.linalg.norm(vectors[common] - before, axis=1)
    changed = float(np.mean(distance > _SAME * np.maximum(np.linalg.norm(before, axis=1), 1e-12)))
    if changed > _CHANGED_SHARE:
        raise CannotKeep(f"the vectors of {changed:.0%} of the known items differ from before")


def _known(previous: Path, previous_catalogue: Path) -> pa.Table:
    if KNOWN_IDS_FILE.path(previous).is_file():
        return KNOWN_IDS_FILE.read(previous)
    sids = read_sids(previous)
    raw = code_matrix(SIDS_FILE.read(previous, ["raw"])["raw"])
    levels = read_meta(previous)["num_levels"]
    ids = read_table(previous_catalogue, columns=["item_id"])["item_id"]
    return _table(ids, sids, raw[:, :levels], None)


def _with_new(known: pa.Table, items: pa.Table, vectors: np.ndarray, previous: Path, device: str | None) -> pa.Table:
    try:
        new = extend(previous, vectors, code_matrix(known["sid"]), device)
    except DataError as error:
        raise CannotKeep(f"the new items get no ids from the codebooks ({error})") from error
    return pa.concat_tables([known, _table(items["item_id"], new.sids, new.raw, new.squared_errors)])


def _check_drift(known: pa.Table, previous: Path) -> float | None:
    """The error ratio of all items that came since the fit. Raises CannotKeep when the codebooks have drifted."""
    came = known.filter(pc.is_valid(known["squared_error"]))
    quality = read_quality(previous)
    if not came.num_rows or not quality.get("held_out"):
        return None
    new = NewIds(code_matrix(came["sid"]), code_matrix(came["raw"]), came["squared_error"].to_numpy())
    drifted = drift(previous, new)
    if drifted.retrain:
        raise CannotKeep("; ".join(drifted.reasons))
    return round(drifted.error_ratio, 6)


def _quality(
    vectors: np.ndarray,
    catalogue: pa.Table,
    config: SidConfig,
    raw: np.ndarray,
    final: np.ndarray,
    previous: Path,
    train_path: Path | None,
    device: str | None,
) -> dict[str, Any]:
    """The report of `assign`. Where ids are fused, errors are of text alone: co-occurrence is of the day of the fit."""
    tokenizer, fusion = load_tokenizer(previous, device), Fusion.load(previous)
    read = vectors if fusion is None else fusion.fuse(vectors)
    report = ids_report(tokenizer, read, raw, final, vectors, catalogue, train_path, config)
    before = read_quality(previous)
    return {**report, **{n: before[n] for n in ("churn", "held_out") if n in before}}


def _table(ids: pa.ChunkedArray, sids: np.ndarray, raw: np.ndarray, errors: np.ndarray | None) -> pa.Table:
    schema = known_ids_schema(raw.shape[1], sids.shape[1])
    error = pa.nulls(len(sids), pa.float64()) if errors is None else pa.array(errors, pa.float64())
    columns = [ids.combine_chunks(), code_lists(sids), code_lists(raw), error]
    return pa.table(columns, names=schema.names).cast(schema)
