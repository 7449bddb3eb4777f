"""Candidates of queries, and what their features are computed from: for all rows of a split and for one request alike.

Channels, tables and settings are one artifact; the generator is a model of its own, and is handed in.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genrec import variants
from genrec.errors import DataError
from genrec.progress import Progress, silent
from genrec.rank.candidates import Candidates, Lists, Rule, merge, with_fallback
from genrec.rank.features.parts.compute import columns, compute
from genrec.rank.features.parts.context import Beams, Columns, Context
from genrec.rank.features.parts.queries import Queries
from genrec.rank.features.parts.tables import Tables
from genrec.recall.parts.channel import Channel
from genrec.recall.parts.generator import Generated, Generator

GENERATOR = "generator"
_PACKAGE = "genrec.recall"
_SETTINGS = "retrieval.json"


class Retrieved(NamedTuple):
    """Candidates with the context of their features."""

    candidates: Candidates
    context: Context
    lists: dict[str, Lists]  # of every channel, for `genrec.rank.candidates.figures`
    num_without: int  # queries without a candidate of a channel: they have popular items, if anything

    def features(self) -> pl.DataFrame:
        """float32, a row a candidate."""
        return compute(self.context, self.candidates)

    def columns(self) -> Columns:
        """The same without a frame, whose making takes longer than one request may."""
        return columns(self.context, self.candidates)


@dataclass(frozen=True)
class Retrieval:
    """Fitted channels over one catalogue.

    counts: items that each channel and the generator list, by name; one that is not named is not asked.
    voters: channels whose lists make candidates, None: all; the others only tell what they think of them.
    """

    tables: Tables
    channels: Mapping[str, Channel]
    counts: Mapping[str, int]
    limit: int = 200
    rule: Rule = "reciprocal_rank"
    voters: tuple[str, ...] | None = None

    def __call__(
        self,
        queries: Queries,
        generator: Generator | None = None,
        banned: Sequence[NDArray[np.integer]] | None = None,
        allowed: NDArray[np.bool_] | None = None,
        progress: Progress = silent,
        found: Generated | None = None,
        restrict: Callable[[Lists], Lists] | None = None,
    ) -> Retrieved:
        """Candidates of U queries; `banned[u]` items and those not `allowed` (bool by item) are left out.

        Items that the catalogue of the channels did not hold are read by the generator alone, if it knows them.
        found: what the generator found, where it was searched already. restrict: takes what may not come out of a
        channel's lists, by query; then a query without any candidate stays without.
        """
        lists, found = self._lists(queries, generator, banned, progress, found)
        if restrict is not None:
            lists = {name: restrict(of_channel) for name, of_channel in lists.items()}
        candidates = merge(lists, self.limit, self.rule, allowed, self.voters)
        num_without = candidates.num_empty
        if num_without and restrict is None:
            candidates = with_fallback(candidates, self._popular(allowed), self.limit, banned)
        beams = None
        if generator is not None and found is not None:
            histories = _known(queries.histories, generator.num_items)
            beams = Beams(*generator.steps(found, histories, candidates.query, candidates.item))
        levels = 0 if generator is None or found is None else generator.num_levels
        context = Context(self.tables, queries, candidates.channels, levels, beams)
        return Retrieved(candidates, context, lists, num_without)

    def _lists(
        self,
        queries: Queries,
        generator: Generator | None,
        banned: Sequence[NDArray[np.integer]] | None,
        progress: Progress,
        found: Generated | None,
    ) -> tuple[dict[str, Lists], Generated | None]:
        lists: dict[str, Lists] = {}
        if generator is not None and self.counts.get(GENERATOR):
            if found is None:
                known, left_out = (_known(rows, generator.num_items) for rows in (queries.histories, banned or []))
                found = generator.search(known, self.counts[GENERATOR], left_out if banned is not None else None)
            lists[GENERATOR] = found.items, found.scores
        histories, left_out = (_known(rows, self.tables.num_items) for rows in (queries.histories, banned or []))
        for number, (name, channel) in enumerate(self.channels.items()):
            if self.counts.get(name):
                progress(number, len(self.channels), name)
                lists[name] = channel.top(histories, self.counts[name], left_out if banned is not None else None)
        return lists, found

    def _popular(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """int64 [n]: items that may come, most training events first."""
        order = np.argsort(-self.tables.counts[:-1], kind="stable")
        return order if allowed is None else order[allowed[order]]

    def save(self, folder: Path) -> None:
        """Write tables, the channels' indexes and the settings into `folder`."""
        self.tables.save(folder / "tables")
        for name, channel in self.channels.items():
            channel.save(folder / "channels" / name)
        settings: dict[str, Any] = {
            "channels": list(self.channels),
            "counts": dict(self.counts),
            "limit": self.limit,
            "rule": self.rule,
            "voters": self.voters,
        }
        (folder / _SETTINGS).write_text(json.dumps(settings, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Retrieval":
        """What was saved there. Raises DataError that names what cannot be read."""
        try:
            settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
            modules = {name: variants.load(_PACKAGE, name) for name in settings["channels"]}
            voters = settings["voters"] if settings["voters"] is None else tuple(settings["voters"])
            plain = {"counts": settings["counts"], "limit": settings["limit"], "rule": settings["rule"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder / _SETTINGS}: cannot be read ({error}); compute the stage again") from error
        channels = {name: module.load(folder / "channels" / name) for name, module in modules.items()}
        return cls(Tables.load(folder / "tables"), channels, voters=voters, **plain)


def _known(rows: Sequence[NDArray[np.integer]], num_items: int) -> list[NDArray[np.integer]]:
    """Without items that a catalogue of `num_items` does not hold."""
    return [row[row < num_items] for row in map(np.asarray, rows)]
