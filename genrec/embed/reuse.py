"""Reuse of an earlier embed artifact: only texts without a vector there are encoded.

An encoder that is fitted on the catalogue (LSA) is reused too: new texts are folded into its space. It is fitted again,
and every text encoded again, once the share of texts that it was not fitted on grows too large.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genrec import variants
from genrec.embed.encoders import PACKAGE
from genrec.embed.texts import read_texts
from genrec.embed.vectors import read_item_vectors
from genrec.progress import Progress
from genrec.tables import VECTORS_FILE

if TYPE_CHECKING:
    from genrec.config import EmbedConfig

HISTORY_FILE = "texts.json"  # number of texts the encoder was fitted on, and of those encoded since


@dataclasses.dataclass(frozen=True)
class Reused:
    """The vectors of an earlier artifact, for the texts of a catalogue.

    Args:
        vectors: float32 [K, d], of the earlier artifact's distinct texts.
        rows: text -> row of `vectors`.
        num_new: distinct texts of the catalogue without a vector.
        encoder: folder of the fitted encoder for new texts, None where none is fitted.
    """

    vectors: np.ndarray
    rows: dict[str, int]
    num_new: int
    encoder: Path | None


def known_vectors(
    catalogue: Path, config: EmbedConfig, previous: Path, previous_catalogue: Path, max_new_share: float
) -> Reused | str:
    """What the artifact `previous` of `previous_catalogue`, with the same settings, holds for the texts of `catalogue`.

    Returns the reason, as a sentence, where the encoder has to be fitted again: more than `max_new_share` of all texts
    it has encoded are not among those it was fitted on.

    Raises:
        DataError: a catalogue or the artifact is missing or damaged.
    """
    texts, _ = read_texts(catalogue, config)
    old_texts, inverse = read_texts(previous_catalogue, config)
    of_item = read_item_vectors(VECTORS_FILE.path(previous))
    first_item = np.full(len(old_texts), -1, dtype=np.int64)
    first_item[inverse[::-1]] = np.arange(len(inverse))[::-1]
    rows = {text: row for row, text in enumerate(old_texts)}
    num_new = sum(text not in rows for text in texts)
    encoder = None
    if is_fitted(config):
        if not (previous / HISTORY_FILE).is_file():
            return "there is no fitted encoder to take over"
        history = read_history(previous)
        since = history["num_since"] + num_new
        share = since / (history["num_fitted"] + since)
        if share > max_new_share:
            return f"{share:.0%} of the texts are none that the encoder was fitted on (limit {max_new_share:.0%})"
        encoder = previous
    return Reused(of_item[first_item], rows, num_new, encoder)


def is_fitted(config: EmbedConfig) -> bool:
    """Whether the encoder is fitted on the catalogue, as LSA is, and not trained beforehand."""
    return hasattr(variants.load(PACKAGE, config.method), "fit")


def fit_encoder(texts: list[str], config: EmbedConfig, out: Path, progress: Progress) -> np.ndarray:
    """Vectors float32 [len(texts), d] of a whole catalogue by an encoder fitted on it, which is saved in `out`."""
    module, options = variants.build(PACKAGE, config.method, config.options)
    vectors, model = module.fit(texts, options, progress)
    if model is not None:
        model.save(out)
        write_history(out, len(texts), 0)
    return vectors


def fold_in(texts: list[str], config: EmbedConfig, encoder: Path, progress: Progress) -> np.ndarray:
    """Vectors float32 [len(texts), d] of further texts by the encoder that `fit_encoder` saved."""
    vectors = variants.load(PACKAGE, config.method).Model.load(encoder).encode(texts)
    progress(len(texts), len(texts))
    return vectors


def keep_encoder(reused: Reused, config: EmbedConfig, out: Path) -> None:
    """Copy the fitted encoder of the earlier artifact into `out`, and count the texts encoded since its fit."""
    if reused.encoder is None:
        return
    module = variants.load(PACKAGE, config.method)
    for name in (module.MODEL_FILE, module.TERMS_FILE):
        shutil.copyfile(reused.encoder / name, out / name)
    history = read_history(reused.encoder)
    write_history(out, history["num_fitted"], history["num_since"] + reused.num_new)


def read_history(folder: Path) -> dict[str, int]:
    """texts.json: num_fitted and num_since."""
    return json.loads((folder / HISTORY_FILE).read_text())


def write_history(folder: Path, num_fitted: int, num_since: int) -> None:
    """Write texts.json into an existing folder."""
    (folder / HISTORY_FILE).write_text(json.dumps({"num_fitted": num_fitted, "num_since": num_since}) + "\n")
