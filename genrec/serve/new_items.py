"""Items that come in while a model is in service: text to vector by the encoder of its catalogue, vector to a semantic id by
its frozen codebooks. Nobody else's id changes, and no id is given twice, not even that of an item which is gone.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genrec import variants
from genrec.errors import DataError, GenrecError
from genrec.tables import KNOWN_IDS_FILE

_ENCODERS = "genrec.embed.encoders"
_BATCH_TOKENS = 4096  # padded tokens a batch of a transformer encoder


@dataclasses.dataclass(frozen=True)
class NewItem:
    """What is known of an item.

    Args:
        item_id: of the shop's data.
        title, brand, categories, description: its text; categories general to specific.
        vector: its text vector, where it was computed elsewhere by the encoder of the catalogue.

    Raises:
        DataError: the id is empty, or a field is no text.
    """

    item_id: str
    title: str = ""
    brand: str = ""
    categories: Sequence[str] = ()
    description: str = ""
    vector: Sequence[float] | None = None

    def __post_init__(self) -> None:
        texts = {name: getattr(self, name) for name in ("item_id", "title", "brand", "description")}
        for name, value in texts.items():
            if not isinstance(value, str):
                raise DataError(f"new item {self.item_id!r}: {name} is {value!r}, which is no text")
        if isinstance(self.categories, str) or not all(isinstance(name, str) for name in self.categories):
            raise DataError(f"new item {self.item_id!r}: categories are {self.categories!r}; give a list of texts")
        if not self.item_id:
            raise DataError(f"a new item has no item_id (title {self.title!r})")


class NewItemIds:
    """Vectors and semantic ids for new items.

    Args:
        encoder: settings of the encoder: method, fields, options.
        fitted: folder with the files of a fitted encoder (an embed artifact).
        sids: folder of the sid artifact: codebooks, and ids of the day they were given.
    """

    def __init__(self, encoder: Mapping[str, Any], fitted: Path, sids: Path) -> None:
        self._encoder, self._fitted, self._sids = encoder, fitted, sids

    def give(self, items: Sequence[NewItem], taken: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Text vectors float32[M, V] and ids int32[M, L] of new items; `taken` int32[N, L] are the ids in use.

        Raises:
            DataError: a vector is needed and not given, or of another width; or no ids are left.
            GenrecError: the encoder needs a package that is not installed.
        """
        from genrec.sid.artifact import code_matrix
        from genrec.sid.daily.new_items import extend

        vectors = self._vectors(items)
        if KNOWN_IDS_FILE.path(self._sids).is_file():  # those of items that left the catalogue among them
            gone = code_matrix(KNOWN_IDS_FILE.read(self._sids, ["sid"])["sid"])
            taken = np.unique(np.concatenate([taken, gone]), axis=0)
        return vectors, extend(self._sids, vectors, taken).sids

    def _vectors(self, items: Sequence[NewItem]) -> NDArray[np.float32]:
        to_encode = [item for item in items if item.vector is None]
        encoded = iter(self._encoded(to_encode)) if to_encode else iter(())
        rows = [next(encoded) if i.vector is None else np.asarray(i.vector, dtype=np.float32) for i in items]
        if len(lengths := {row.shape for row in rows}) > 1:
            raise DataError(
                f"new items: vectors of different shapes, {sorted(lengths)}; use the encoder of the catalogue"
            )
        return np.stack(rows)

    def _encoded(self, items: Sequence[NewItem]) -> NDArray[np.float32]:
        from genrec.embed.texts import item_texts

        method = self._encoder.get("method", "")
        if method not in variants.names(_ENCODERS):
            raise DataError(
                f"{self._fitted}: there is no encoder {method!r}; known: {', '.join(variants.names(_ENCODERS))}"
            )
        try:
            module = variants.load(_ENCODERS, method)
            if hasattr(module, "vectors_of_items"):
                raise DataError(
                    f"new item {items[0].item_id!r} has no vector: those of this catalogue were computed elsewhere "
                    f"(embed.method {method}); give one with each new item"
                )
            texts, place = item_texts(_as_table(items), self._encoder["fields"])
            if hasattr(module, "fit"):
                return module.Model.load(self._fitted).encode(texts)[place]
            options = module.Config(**self._encoder.get("options", {}))
            return module.encode(texts, options, batch_tokens=_BATCH_TOKENS)[place]
        except ImportError as error:
            raise GenrecError(
                f"new items: the encoder {method} needs the package {error.name}, which is not installed here; install it, or "
                "give each new item its vector"
            ) from error


def _as_table(items: Sequence[NewItem]) -> pa.Table:
    names = ("title", "brand", "description")
    columns: dict[str, Any] = {name: pa.array([getattr(item, name) for item in items], pa.string()) for name in names}
    categories = pa.array([list(item.categories) for item in items], pa.list_(pa.string()))
    return pa.table({**columns, "categories": categories})
