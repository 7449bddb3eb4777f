"""The files of a fitted tokenizer: tokenizer.safetensors (its tensors) and tokenizer.json (method and shape)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from genrec import variants
from genrec.errors import DataError
from genrec.sid.quantize.tokenizer import Tokenizer, default_device
from genrec.sid.tokenizers import PACKAGE

TENSORS_FILE = "tokenizer.safetensors"
META_FILE = "tokenizer.json"


def save_tokenizer(tokenizer: Tokenizer, method: str, folder: Path, **more: Any) -> None:
    """Write `tokenizer.safetensors` and `tokenizer.json` (method, shape and `more`) into an existing folder."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tokenizer.tensors().items()}
    save_file(state, folder / TENSORS_FILE)
    levels, codes, dim = tokenizer.codebooks.shape
    meta = {"method": method, "num_levels": levels, "num_codes": codes, "latent_dim": dim, **more}
    (folder / META_FILE).write_text(json.dumps(meta, indent=2, sort_keys=True) + "\n")


def load_tokenizer(folder: Path, device: str | None = None) -> Tokenizer:
    """The tokenizer a sid stage saved, to give ids to new items with the same codebooks.

    Raises:
        DataError: files that are missing, damaged or of an unknown method.
    """
    meta, path = read_meta(folder), folder / TENSORS_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; the folder holds {sorted(p.name for p in folder.glob('*'))}")
    if meta.get("method") not in variants.names(PACKAGE):
        known = ", ".join(variants.names(PACKAGE))
        raise DataError(f"{folder / META_FILE}: there is no tokenizer {meta.get('method')!r}; known: {known}")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path}: not a saved tokenizer ({error}); run the sid stage") from error
    try:
        return variants.load(PACKAGE, meta["method"]).TOKENIZER.from_tensors(tensors, default_device(device))
    except KeyError as error:
        raise DataError(f"{path}: no tensor {error} of a {meta['method']} tokenizer; run the sid stage") from error


def read_meta(folder: Path) -> dict[str, Any]:
    """tokenizer.json of a sid artifact. Raises DataError when it is missing or damaged."""
    path = folder / META_FILE
    if not path.is_file():
        raise DataError(f"{path}: no such file; the folder holds {sorted(p.name for p in folder.glob('*'))}")
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); run the sid stage") from error
    if not isinstance(meta, dict):
        raise DataError(f"{path}: not a saved tokenizer; run the sid stage")
    return meta
