"""What is to be encoded for a catalogue: its distinct texts that have no vector yet, cut into pieces.

A piece is a run of texts in the order in which the catalogue has them. The worker that encodes it reads the texts from the
catalogue and writes the vectors into a file of its own (`genrec.embed.encode`), so that neither texts nor vectors travel
between processes, and after a kill only the pieces in flight are encoded again.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from genrec import variants
from genrec.embed.encoders import PACKAGE
from genrec.embed.reuse import Known, is_fitted, known_texts
from genrec.embed.text_index import TextIndex, index_texts
from genrec.tables import VECTORS_FILE

if TYPE_CHECKING:
    from genrec.config import EmbedConfig

PIECE_TEXTS = 16_384  # of mean length: half a minute of a large GPU, 128 MB of vectors with 2,048 dimensions


class Piece(NamedTuple):
    """The new texts start..stop of a plan, and where their vectors go: a .npy file."""

    start: int
    stop: int
    file: Path


class Previous(NamedTuple):
    """An earlier artifact whose vectors may be taken over, and the catalogue it was made for."""

    folder: Path
    catalogue: Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be encoded.

    Args:
        file: the numbers that `read_numbers` reads.
        shards: the pieces of each worker; none empty.
        num_items, num_texts, num_new: items, distinct texts, and those of them to be encoded.
        num_empty: items without text.
        mean_characters: length of an item's text.
        encoder: folder of the fitted encoder that new texts are folded in with; None where there is none yet.
        vectors: file whose vectors are taken over; None where none are.
        why: why none are taken over from the earlier artifact, as a sentence; "" without one.
    """

    file: Path
    shards: list[list[Piece]]
    num_items: int
    num_texts: int
    num_new: int
    num_empty: int
    mean_characters: float
    encoder: Path | None = None
    vectors: Path | None = None
    why: str = ""

    @property
    def pieces(self) -> list[Piece]:
        """All pieces, in the order of the texts."""
        return [piece for shard in self.shards for piece in shard]


class Numbers(NamedTuple):
    """The arrays of a plan.

    new_items: int32 [num_new], the first item with each new text; ascending.
    text_of_item: int32 [num_items].
    place: int32 [num_texts], k for new text k, -1 - i for the vector of item i of the earlier artifact.
    """

    new_items: NDArray[np.int32]
    text_of_item: NDArray[np.int32]
    place: NDArray[np.int32]


def plan_texts(
    catalogue_path: Path,
    config: EmbedConfig,
    work: Path,
    name: str = "",
    previous: Previous | None = None,
    max_new_share: float = 1.0,
) -> Plan:
    """Look through the texts of a catalogue and plan their encoding.

    Args:
        catalogue_path: the file; it must stay until the vectors are written.
        config: settings; `num_shards` says how many workers share the pieces, which changes no piece of a large catalogue.
        work: existing folder for the files of the plan and of its pieces.
        name: of the catalogue, in these names: another one has other files.
        previous: the earlier artifact, made with the same settings.
        max_new_share: see `genrec.embed.reuse.known_texts`.

    Raises:
        DataError: the catalogue is empty, missing or lacks a field, or the earlier artifact is damaged.
    """
    index = index_texts(catalogue_path, config.fields)
    known: Known | str = "" if previous is None else known_texts(index, config, *previous, max_new_share)
    none_known = np.full(len(index.first), -1, dtype=np.int32)
    rows = none_known if isinstance(known, str) else known.rows
    numbers = _numbers(index, rows)
    file = work / f"texts-{name}.safetensors"
    partial = file.with_suffix(f".{uuid.uuid4().hex}.partial")
    save_file(numbers._asdict(), partial)
    os.replace(partial, file)
    encoder = None if isinstance(known, str) else known.encoder
    at_once = is_whole(config, len(numbers.new_items)) and encoder is None
    edges = [0, len(numbers.new_items)] if at_once else _edges(index.characters[rows < 0], config.num_shards)
    pieces = [Piece(a, b, work / f"vectors-{name}-{a}-{b}.npy") for a, b in itertools.pairwise(edges) if b > a]
    characters = index.characters[index.inverse]
    return Plan(
        file,
        _shares(pieces, 1 if at_once else config.num_shards),
        len(index.inverse),
        len(index.first),
        len(numbers.new_items),
        int((characters == 0).sum()),
        float(characters.mean()),
        encoder,
        VECTORS_FILE.path(previous.folder) if previous is not None and not isinstance(known, str) else None,
        known if isinstance(known, str) else "",
    )


def read_numbers(plan: Plan) -> Numbers:
    """The arrays of a plan."""
    return Numbers(**load_file(plan.file))


def is_whole(config: EmbedConfig, num_texts: int) -> bool:
    """Whether the encoder has to have all texts of a catalogue at once."""
    module, options = variants.build(PACKAGE, config.method, config.options)
    if is_fitted(config) and hasattr(module, "sample"):
        return module.sample(num_texts, options) is None
    return not module.SHARDABLE


def _numbers(index: TextIndex, rows: NDArray[np.int32]) -> Numbers:
    new = rows < 0
    place = -1 - rows
    place[new] = np.arange(new.sum(), dtype=np.int32)
    return Numbers(index.first[new], index.inverse, place)


def _edges(characters: NDArray[np.int32], num_shards: int) -> list[int]:
    """Where pieces of about the same size begin and end: a multiple of `num_shards`, of about `PIECE_TEXTS` at most.

    The size of a text is its length and a mean length more, so that no piece has many more texts than the others.
    """
    if not len(characters):
        return [0]
    each = -(-len(characters) // (PIECE_TEXTS * num_shards))
    total = np.cumsum(characters + characters.mean() + 1)
    edges = np.searchsorted(total, total[-1] * np.arange(1, each * num_shards) / (each * num_shards), side="left") + 1
    return [0, *(int(edge) for edge in np.minimum(edges, len(characters))), len(characters)]


def _shares(pieces: list[Piece], num_shards: int) -> list[list[Piece]]:
    """Runs of pieces of nearly equal number, at most `num_shards`."""
    edges = np.linspace(0, len(pieces), min(num_shards, len(pieces)) + 1).round().astype(int) if pieces else [0]
    return [pieces[a:b] for a, b in itertools.pairwise(edges)]
