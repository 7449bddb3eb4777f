"""Several re-rankers in turn: tuned on validation lists, kept as one JSON file, with what each gains and costs."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genrec import variants
from genrec.errors import DataError
from genrec.labels import distinct_names
from genrec.progress import Progress, silent
from genrec.rank.rerank import PACKAGE
from genrec.rank.rerank.parts import figures
from genrec.rank.rerank.parts.lists import Ints, Lists, Reranker, shown

FILE = "rerank.json"
BEFORE = "before"
NO_CANDIDATE = "lists without a candidate"  # a warning


@dataclass(frozen=True)
class Step:
    """A tuned re-ranker under its name and options."""

    name: str
    options: Mapping[str, Any]
    reranker: Reranker


class Steps:
    """Re-rankers in turn, each on the lists that the one before leaves."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)

    def rerank(self, lists: Lists, k: int) -> tuple[Ints, Counter[str]]:
        """The columns that are shown, int64 [U, k] of `lists` (-1 = none), and counted warnings by `step: what`."""
        column, warnings = np.broadcast_to(np.arange(lists.width), lists.item.shape), Counter[str]()
        for _, made in self._columns(lists, k, warnings):
            column = made
        return shown(lists, column, k), warnings

    def trace(self, lists: Lists, k: int) -> tuple[list[tuple[str, Ints]], Counter[str]]:
        """(name, columns shown after it) of the lists as they came and of every step, and counted warnings."""
        column, warnings = np.broadcast_to(np.arange(lists.width), lists.item.shape), Counter[str]()
        stages = [(BEFORE, shown(lists, column, k))]
        stages += [(label, shown(lists, made, k)) for label, made in self._columns(lists, k, warnings)]
        return stages, warnings

    def _columns(self, lists: Lists, k: int, warnings: Counter[str]) -> Iterator[tuple[str, Ints]]:
        """(name, columns int64 [U, C] of `lists` in the order after it) of every step; counts warnings."""
        if empty := int((~lists.present).all(axis=1).sum()):
            warnings[NO_CANDIDATE] += empty
        now, column = lists, None
        labels = distinct_names([step.name for step in self.steps])
        for number, (label, step) in enumerate(zip(labels, self.steps, strict=True), 1):
            made = step.reranker.rerank(now, k)
            column = made.order if column is None else np.take_along_axis(column, made.order, axis=1)
            warnings.update({f"{label}: {what}": count for what, count in made.warnings.items()})
            if number < len(self.steps):
                now = now.reordered(made)
            yield label, column

    def table(self, lists: Lists, k: int, **how: Any) -> list[dict[str, Any]]:
        """What each step gains and costs on these lists (`genrec.rank.rerank.parts.figures.table`)."""
        return figures.table(lists, self.trace(lists, k)[0], **how)

    def save(self, folder: Path) -> Path:
        """Write rerank.json."""
        path = folder / FILE
        listed = [{"name": s.name, "options": dict(s.options), "state": s.reranker.state()} for s in self.steps]
        path.write_text(json.dumps(listed, indent=1) + "\n")
        return path


def tune(
    chosen: Sequence[tuple[str, Mapping[str, Any]]], lists: Lists, k: int, seed: int, progress: Progress = silent
) -> Steps:
    """Tune re-rankers (name, validated options) in turn on validation lists, never on test ones."""
    steps: list[Step] = []
    for number, (name, options) in enumerate(chosen):
        progress(number, len(chosen), name)
        module, config = variants.build(PACKAGE, name, dict(options))
        reranker = module.tune(lists, config, k, seed)
        steps.append(Step(name, options, reranker))
        lists = lists.reordered(reranker.rerank(lists, k))
    progress(len(chosen), len(chosen), "re-rankers tuned")
    return Steps(steps)


def load(folder: Path) -> Steps:
    """What `Steps.save` wrote. Raises DataError where it is missing or of another version."""
    path = folder / FILE
    try:
        listed = json.loads(path.read_text())
        steps = []
        for entry in listed:
            module, config = variants.build(PACKAGE, entry["name"], entry["options"])
            steps.append(Step(entry["name"], entry["options"], module.restore(entry["state"], config)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not readable ({type(error).__name__}: {error}); run the rank stage again") from error
    return Steps(steps)
