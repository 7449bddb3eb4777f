"""Item texts to vectors.parquet, in steps that may run on different machines; all they share is a folder.

plan = plan_texts(catalogue_path, config, work)                              # genrec/embed/plan.py
fit_all(...) or fit_sample(...)                                              # encoders that are fitted (LSA)
for pieces in plan.shards: encode_pieces(catalogue_path, config, plan, pieces)   # side by side
summary = write_vectors(plan, config, out)                                   # genrec/embed/join.py

`embed_catalogue` takes all of them in one process. A method that brings vectors by item id (`ready`) takes one:
summary = write_ready_vectors(catalogue_path, config, out).
"""

from __future__ import annotations

import itertools
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genrec import variants
from genrec.embed import reuse
from genrec.embed.encoders import PACKAGE
from genrec.embed.join import write_vectors
from genrec.embed.plan import Piece, Plan, Previous, is_whole, plan_texts, read_numbers
from genrec.embed.text_index import read_texts
from genrec.embed.vectors import write_item_vectors
from genrec.errors import ConfigError, DataError
from genrec.progress import Progress, silent
from genrec.store.artifact import Disk
from genrec.tables import VECTORS_FILE, read_table

if TYPE_CHECKING:
    from genrec.config import EmbedConfig


def encode_texts(
    texts: list[str], config: EmbedConfig, progress: Progress = silent, device: str | None = None
) -> NDArray[np.float32]:
    """float32 [len(texts), d]: the vectors of texts by the configured encoder; one that is fitted is fitted on them."""
    module, options = variants.build(PACKAGE, config.method, config.options)
    return module.encode(texts, options, batch_tokens=config.batch_tokens, device=device, progress=progress)


def encode_pieces(
    catalogue_path: Path,
    config: EmbedConfig,
    plan: Plan,
    pieces: list[Piece],
    encoder: Path | None = None,
    progress: Progress = silent,
    device: str | None = None,
) -> None:
    """Encode pieces of a plan, one after the other, each into its file; what another attempt left there is kept.

    Args:
        catalogue_path: the file that was planned for.
        config: the same settings.
        plan: the plan.
        pieces: some of its pieces, ascending.
        encoder: folder of the fitted encoder, of a method that is fitted.
        progress: in texts.
        device: torch device; None takes the GPU where there is one.

    Raises:
        ConfigError: the model cannot be loaded, or gives numbers that are not finite or too large for `number_format`.
        DataError: the fitted encoder is missing or damaged.
    """
    pieces = [piece for piece in pieces if not piece.file.is_file()]
    if not pieces:
        return
    encode = _opened(config, encoder, device)
    new_items = read_numbers(plan).new_items
    texts = read_texts(catalogue_path, config.fields, np.concatenate([new_items[a:b] for a, b, _ in pieces]))
    done, total = 0, sum(stop - start for start, stop, _ in pieces)
    for start, stop, file in pieces:
        of_piece = list(itertools.islice(texts, stop - start))
        write_piece(file, encode(of_piece, _from(done, total, progress)), config)
        done += stop - start


def fit_all(catalogue_path: Path, config: EmbedConfig, plan: Plan, out: Path, progress: Progress = silent) -> None:
    """Encode the one piece of a plan by an encoder that needs all texts at once; where it is fitted, it is saved in `out`."""
    (piece,) = plan.pieces
    texts = list(read_texts(catalogue_path, config.fields, read_numbers(plan).new_items))
    longest_first = np.argsort(
        [-len(text) for text in texts], kind="stable"
    )  # sums, so last digits, depend on the order
    ordered = [texts[i] for i in longest_first]
    if reuse.is_fitted(config):
        vectors = reuse.fit_encoder(ordered, config, out, progress)
    else:
        vectors = encode_texts(ordered, config, progress)
    of_text = np.empty_like(vectors)
    of_text[longest_first] = vectors
    write_piece(piece.file, of_text, config)


def fit_sample(catalogue_path: Path, config: EmbedConfig, plan: Plan, out: Path, progress: Progress = silent) -> None:
    """Fit the encoder of a large catalogue on a sample of its texts; it is there, in `out`, whole or not at all."""
    module, options = variants.build(PACKAGE, config.method, config.options)
    new_items = read_numbers(plan).new_items
    chosen = module.sample(len(new_items), options)
    texts = read_texts(catalogue_path, config.fields, new_items[chosen])
    model = module.fit_sample(texts, len(chosen), options, progress)
    out.mkdir(exist_ok=True)
    partial = out.with_name(f"{out.name}.{uuid.uuid4().hex}.partial")  # a worker that was given up may write its own
    partial.mkdir()
    try:
        module.save_sampled(model, partial)
        reuse.write_history(partial, len(new_items), 0)  # the sample stands for all
        disk, last = Disk(), partial / reuse.HISTORY_FILE  # it says that the others are there
        for file in [*(file for file in sorted(partial.iterdir()) if file != last), last]:
            disk.fsync(file)
            disk.rename(file, out / file.name)
            disk.fsync(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_piece(file: Path, vectors: NDArray[np.floating], config: EmbedConfig) -> None:
    """Write vectors as .npy in the format of the settings: the file is there whole or not at all, also after a power loss.

    Raises ConfigError where the format cannot hold a number.
    """
    with np.errstate(over="ignore"):
        stored = vectors.astype(config.number_format, copy=False)
    if np.isfinite(vectors).all() and not np.isfinite(stored).all():
        raise ConfigError(
            f"embed.number_format: {config.number_format} cannot hold {np.abs(vectors).max():g}, which {config.method} "
            "gave; set it to float32, or scale vectors to unit length"
        )
    partial = file.with_suffix(f".{uuid.uuid4().hex}.partial")  # a worker that was given up may still write its own
    try:
        with partial.open("wb") as opened:
            np.save(opened, stored, allow_pickle=False)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)  # on a full disk, say


def embed_catalogue(
    catalogue_path: Path, config: EmbedConfig, work: Path, out: Path, previous: Previous | None = None
) -> dict[str, Any]:
    """All steps in this process: `vectors.parquet` in the folder `out`. Returns what `write_vectors` does."""
    plan = plan_texts(catalogue_path, config, work, previous=previous)
    encoder = plan.encoder
    if encoder is None and plan.pieces and is_whole(config, plan.num_new):
        fit_all(catalogue_path, config, plan, out)
    elif encoder is None and reuse.is_fitted(config):
        encoder = work / "encoder"
        fit_sample(catalogue_path, config, plan, encoder)
    for pieces in plan.shards:
        encode_pieces(catalogue_path, config, plan, pieces, encoder)
    if encoder is not None:
        reuse.keep_encoder(encoder, plan.num_new if plan.encoder is not None else 0, config, out)
    return write_vectors(plan, config, out)


def needs_no_text(config: EmbedConfig) -> bool:
    """Whether the method brings vectors by item id instead of encoding texts."""
    return hasattr(variants.load(PACKAGE, config.method), "vectors_of_items")


def write_ready_vectors(catalogue_path: Path, config: EmbedConfig, out: Path) -> dict[str, Any]:
    """Write `vectors.parquet` into the folder `out` from a method that needs no text.

    Returns:
        Summary: method, num_items, dim, num_zero (items with a zero vector), num_extra (vectors of no item).

    Raises:
        DataError: the catalogue is empty, or an item of it has no vector.
    """
    catalogue = read_table(catalogue_path, columns=["item_id"])
    if catalogue.num_rows == 0:
        raise DataError(f"{catalogue_path}: the catalogue is empty, there is nothing to embed")
    module, options = variants.build(PACKAGE, config.method, config.options)
    vectors, num_extra = module.vectors_of_items(catalogue["item_id"], options)
    write_item_vectors(vectors, VECTORS_FILE.path(out), config.number_format)
    return {
        "method": config.method,
        "num_items": len(vectors),
        "dim": int(vectors.shape[1]),
        "num_zero": int((vectors == 0).all(axis=1).sum()),
        "num_extra": num_extra,
    }


def _opened(
    config: EmbedConfig, encoder: Path | None, device: str | None
) -> Callable[[list[str], Progress], NDArray[np.float32]]:
    """The encoder, loaded once for all pieces."""
    module, options = variants.build(PACKAGE, config.method, config.options)
    if encoder is not None:
        model = module.Model.load(encoder)
        return lambda texts, progress: reuse.fold_in(texts, model, progress)
    if not hasattr(module, "Encoder"):
        return lambda texts, progress: encode_texts(texts, config, progress, device)
    loaded = module.Encoder(options, device)
    return lambda texts, progress: loaded.encode(texts, batch_tokens=config.batch_tokens, progress=progress)


def _from(done: int, total: int, progress: Progress) -> Progress:
    """The progress of one piece as that of all."""

    def report(of_piece: float, _: float, note: str = "", /, **values: float) -> None:
        progress(done + of_piece, total, note, **values)

    return report
