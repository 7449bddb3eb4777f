"""A trained model as a Python object: load it, ask it.

from genrec import Recommender

recommender = Recommender.load(".genrec")
for item in recommender.recommend(["B01", "B07"], k=5):
    print(item.item_id, item.title, item.score, item.sid)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any, overload

import torch

from genrec.errors import DataError
from genrec.model.merging import merge_adapter
from genrec.model.policy import Policy
from genrec.model.precision import compile_layers, compute_dtype, default_device, frozen_dtype
from genrec.serve import bundle
from genrec.serve.catalogue import Catalogue
from genrec.serve.engine import MAX_KV_GIB, Engine
from genrec.serve.model_files import ModelFiles, in_store_at
from genrec.serve.new_items import NewItem, NewItemIds
from genrec.serve.query import Answer, Filter, Query, Recommended
from genrec.serve.room import check_room


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an engine may take of its device.

    Args:
        max_batch: queries searched at once, at most.
        max_kv_gib: GiB of keys and values of a search, at most.
        compile: run the model's layers compiled, on a GPU.
        max_k: the longest list that will be asked for: loading fails where one such search takes more than `max_kv_gib`.
    """

    max_batch: int = 256
    max_kv_gib: float = MAX_KV_GIB
    compile: bool = False
    max_k: int = 0


class Recommender:
    """An engine and where it came from. `engine` answers whole queries, many at once, and says what it skipped."""

    def __init__(self, engine: Engine, files: ModelFiles) -> None:
        self.engine, self.files = engine, files

    @property
    def new_ids(self) -> NewItemIds:
        """What gives ids to new items, for `Catalogue.with_items`."""
        return NewItemIds(self.files.encoder, self.files.embed, self.files.sids)

    @classmethod
    def load(
        cls,
        path: str | Path,
        run: str | None = None,
        name: str | None = None,
        device: str | None = None,
        rank: bool | None = None,
    ) -> Recommender:
        """Load a model; nothing in its files is ever executed.

        Args:
            path: a store (its folder or URL), the folder of a run in one, or a folder that `python -m flows export` wrote.
            run: in a store, the id of a run, or `latest`.
            name: in a store, the name of a model in service. With neither: the model in service, and where there is none
                the latest finished run with a model; `files.where` says which.
            device: torch device; by default the first GPU, else the CPU.
            rank: whether lists are ranked where the model has a ranking that is of use; by default as its run's
                service.rank says. It needs more libraries (docs/serving.md).

        Raises:
            GenrecError: nothing of the kind is there, it is damaged, or not clear; the message says what to do.
        """
        files = find_files(path, run, name, rank)
        return cls(load_engine(files, device), files)

    @overload
    def recommend(
        self,
        items: list[str],
        k: int = ...,
        exclude: Collection[str] | None = ...,
        allow: Filter | Collection[str] | None = ...,
        keep_seen: bool = ...,
    ) -> list[Recommended]: ...
    @overload
    def recommend(
        self,
        items: list[list[str]],
        k: int = ...,
        exclude: Collection[str] | None = ...,
        allow: Filter | Collection[str] | None = ...,
        keep_seen: bool = ...,
    ) -> list[list[Recommended]]: ...
    def recommend(
        self,
        items: list[str] | list[list[str]],
        k: int = 10,
        exclude: Collection[str] | None = None,
        allow: Filter | Collection[str] | None = None,
        keep_seen: bool = False,
    ) -> list[Recommended] | list[list[Recommended]]:
        """The k best items for a history, best first, or for each of many histories.

        Args:
            items: item ids, oldest first; or a list of such lists. Arrays and columns of tables do as well. Ids that the catalogue lacks are skipped
                (`engine.answer` names them); without any known one, popular items come back.
            k: items wanted; fewer come where fewer may.
            exclude: ids that must not come out.
            allow: the only ids that may, or a Filter of ids and categories.
            keep_seen: items of the history may come out too.

        Raises:
            DataError: a text where a list is needed, or a k that is no number of items.
        """
        items = _plain(items)
        many = bool(items) and isinstance(_plain(items[0]), list | tuple)
        histories: list[Any] = [_plain(history) for history in items] if many else [items]
        only = allow if isinstance(allow, Filter) or allow is None else Filter(items=allow)
        answers = self.engine.answer([Query(h, k, exclude or (), only, keep_seen) for h in histories])
        return [answer.items for answer in answers] if many else answers[0].items


def _plain(values: Any) -> Any:
    """An array of NumPy, or a column of pandas, Polars or Arrow, as a list."""
    for method in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, method):
            return getattr(values, method)()
    return values


def find_files(
    path: str | Path, run: str | None = None, name: str | None = None, rank: bool | None = None
) -> ModelFiles:
    """The files of the model that `Recommender.load` would load."""
    folder = Path(path).expanduser()
    if not bundle.is_bundle(folder):
        return in_store_at(str(path), run, name, rank)
    if run is not None or name is not None:
        raise DataError(f"{folder}: is one exported model; give no run and no name beside it")
    return bundle.read(folder, rank)


def load_engine(files: ModelFiles, device: str | None = None, limits: Limits | None = None) -> Engine:
    """The engine of a model's files, on a device. An adapter is merged into the weights where it can be.

    Raises DataError where the model and the semantic ids do not fit each other, ConfigError where the model does not fit
    the device or the limits.
    """
    limits = limits or Limits()
    where = torch.device(device) if device is not None else default_device()
    compute = compute_dtype("bf16" if files.precision == "bf16" else "fp32", where, "evaluate.precision")
    dtype = frozen_dtype(compute, where)
    check_room(files, where, dtype, limits.max_kv_gib)
    policy = Policy.load(files.model, files.base, device=where, dtype=dtype)
    policy.search_dtype = compute
    merge_adapter(policy)
    if limits.compile and where.type == "cuda":
        compile_layers(policy.body)
    catalogue = Catalogue.read(files.catalogue, files.sids, policy.vocab.num_codes)
    if policy.items is not None and len(policy.items) != len(catalogue):
        raise DataError(f"{files.model}: trained on {len(policy.items)} items, {files.sids} has {len(catalogue)}")
    engine = engine_of(
        files,
        policy,
        catalogue,
        beam_width=files.beam_width,
        batch_size=limits.max_batch,
        max_kv_gib=limits.max_kv_gib,
    )
    engine.check_room(min(limits.max_k, len(catalogue)))
    return engine


def engine_of(files: ModelFiles, policy: Policy, catalogue: Catalogue, **limits: Any) -> Engine:
    """The engine of a loaded model, with its ranking where its files have one; `limits` are those of `Engine`.

    Raises ConfigError for libraries that a ranking needs and that are missing, DataError where it does not fit the model.
    """
    if files.ranking is None:
        return Engine(policy, catalogue, files.model_key, **limits)
    from genrec.serve.ranked.files import check_libraries

    check_libraries(files.ranking)
    from genrec.serve.ranked.engine import RankedEngine
    from genrec.serve.ranked.lists import ListRanking, check_fits

    ranking = ListRanking.load(files.ranking, files.embed)
    check_fits(ranking, len(catalogue), files.ranking)
    return RankedEngine(policy, catalogue, files.model_key, ranking=ranking, **limits)


__all__ = ["Answer", "Filter", "Limits", "NewItem", "Query", "Recommended", "Recommender", "load_engine"]
