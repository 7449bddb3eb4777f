"""Reuse of an earlier embed artifact: only texts without a vector there are encoded.

An encoder that is fitted on the catalogue (LSA) is reused too: new texts are folded into its space. It is fitted again,
and every text encoded again, once the share of texts that it was not fitted on grows too large.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genrec import variants
from genrec.embed.encoders import PACKAGE
from genrec.embed.text_index import TextIndex, index_texts
from genrec.progress import Progress

if TYPE_CHECKING:
    from genrec.config import EmbedConfig

HISTORY_FILE = "texts.json"  # number of texts the encoder was fitted on, and of those encoded since


class Known(NamedTuple):
    """The texts of a catalogue that an earlier artifact has vectors for.

    rows: int32 [num_texts], an item of the earlier artifact with the text, -1 for a new one.
    encoder: folder of the fitted encoder for new texts, None where none is fitted.
    """

    rows: NDArray[np.int32]
    encoder: Path | None


def known_texts(
    index: TextIndex, config: EmbedConfig, previous: Path, previous_catalogue: Path, max_new_share: float
) -> Known | str:
    """What the artifact `previous` of `previous_catalogue`, with the same settings, holds for the texts of a catalogue.

    Returns the reason, as a sentence, where the encoder has to be fitted again: more than `max_new_share` of all texts
    it has encoded are not among those it was fitted on.

    Raises:
        DataError: the earlier catalogue is missing or damaged.
    """
    before = index_texts(previous_catalogue, config.fields)
    place = index.found_in(before)
    rows = np.where(place < 0, -1, before.first[place]).astype(np.int32)
    if not is_fitted(config):
        return Known(rows, None)
    if not (previous / HISTORY_FILE).is_file():
        return "there is no fitted encoder to take over"
    history = read_history(previous)
    since = history["num_since"] + int((rows < 0).sum())
    share = since / (history["num_fitted"] + since)
    if share > max_new_share:
        return f"{share:.0%} of the texts are none that the encoder was fitted on (limit {max_new_share:.0%})"
    return Known(rows, previous)


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


def fold_in(texts: list[str], model: Any, progress: Progress) -> NDArray[np.float32]:
    """Vectors float32 [len(texts), d] of further texts by a fitted encoder, as its module's `Model.load` gives it."""
    vectors = model.encode(texts)
    progress(len(texts), len(texts), "encoding")
    return vectors


def keep_encoder(encoder: Path, num_new: int, config: EmbedConfig, out: Path) -> None:
    """Copy a fitted encoder into `out`, and count `num_new` more texts encoded since its fit."""
    module = variants.load(PACKAGE, config.method)
    for name in (module.MODEL_FILE, module.TERMS_FILE):
        shutil.copyfile(encoder / name, out / name)
    history = read_history(encoder)
    write_history(out, history["num_fitted"], history["num_since"] + num_new)


def read_history(folder: Path) -> dict[str, int]:
    """texts.json: num_fitted and num_since."""
    return json.loads((folder / HISTORY_FILE).read_text())


def write_history(folder: Path, num_fitted: int, num_since: int) -> None:
    """Write texts.json into an existing folder."""
    (folder / HISTORY_FILE).write_text(json.dumps({"num_fitted": num_fitted, "num_since": num_since}) + "\n")
