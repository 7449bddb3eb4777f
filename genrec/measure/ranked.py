"""The rank stage: channels, candidates and a ranker, decided on validation, and its lists of the test rows.

The ranker learns from the validation targets; neither the channels nor the generator have learned from them. Test is
scored once, with everything decided.
"""

import json
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genrec import tables
from genrec.config import Config
from genrec.config.rank import GENERATOR, RankConfig
from genrec.errors import ConfigError
from genrec.measure.baselines import read_training
from genrec.measure.comparison import RANK, RERANK
from genrec.measure.predictions import FACTS_FILE, LISTS, PROTOCOLS, write_counts, write_part
from genrec.measure.reranked import Reranking, tune_and_judge
from genrec.measure.rows import Split, read_rows, sampled
from genrec.progress import Progress, silent
from genrec.rank.ablation import without_each
from genrec.rank.candidates import figures
from genrec.rank.features.parts.compute import as_table, features
from genrec.rank.features.parts.queries import Asked, as_served, read_queries
from genrec.rank.figures import listed
from genrec.rank.fitting import fit_retrieval
from genrec.rank.ranking import Ranking, fit_and_judge
from genrec.rank.retrieval import Retrieval, Retrieved
from genrec.rank.samples import TASKS, Samples, from_frame
from genrec.rank.scored import Scored
from genrec.rank.weights import list_weights, weighted
from genrec.recall.parts.generator import Generator

RETRIEVAL, RANKING = "retrieval", "ranking"  # folders of the artifact; its lists are in LISTS
_STEPS = 6


def fit_and_rank(
    config: Config,
    prepared: Path,
    vectors: Path | None,
    sids: Path,
    base: Path | None,
    model: Path,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Do the whole stage; `model` is the folder of the generator, with `base` where it is an adapter.

    Writes into `out`: retrieval/ (channels, tables), ranking/ (a model by fold), rerank.json where steps are configured,
    valid/ and test/candidates.parquet, lists/ (parts of predictions, both protocols) and rank.json: {use, retrieval
    (`genrec.rank.candidates.figures` of validation), ranking (`genrec.rank.ranking.fit_and_judge`), groups (what groups
    of features add, with rank.ablation), explained (one validation list by SHAP values), rerank, warnings, seconds,
    peak_memory_gib}. Returns what rank.json holds.

    Raises ConfigError without a generator: its list is what the ranking has to beat.
    """
    if not config.rank.channels.get(GENERATOR):
        raise ConfigError(
            "rank.channels.generator: 0; the ranking is judged against the generator's list, give it more (50) or set "
            "rank.enabled=false"
        )
    clock = _Clock(progress)
    data = read_training(prepared, vectors, config.seed, silent)
    retrieval, fit_seconds = fit_retrieval(data, config.rank, config.evaluate.channel_options(), clock.part(0, "fit"))
    retrieval.save(out / RETRIEVAL)
    generator = Generator.load(model, base, sids)
    clock.done("fit")
    learned = _gather(
        retrieval, generator, prepared, "valid", config, config.evaluate.seen_items, clock.part(1, "valid")
    )
    frame = learned.write(out / "valid")
    clock.done("candidates of validation")
    result: dict[str, Any] = {"use": False, "retrieval": learned.figures(), "fit_seconds": _rounded(fit_seconds)}
    if not frame.height:
        return _finish(
            out, result | {"warnings": ["rank: no validation row has a candidate; nothing was ranked"]}, clock
        )
    samples = _weighted(from_frame(frame), learned.asked, config.rank)
    del frame
    ranking, summary = _judged(samples, learned, config, clock.part(2, "ranker"))
    ranking.save(out / RANKING)
    clock.done("ranker")
    result |= {"use": summary["use"], "ranking": summary, "explained": _explained(ranking, samples)}
    if config.rank.ablation:
        groups = _groups(samples, learned.retrieved, generator.num_levels)
        confidence = config.evaluate.confidence
        result["groups"] = without_each(
            samples, groups, config.rank, config.seed, confidence=confidence, progress=clock.part(3, "groups")
        )
        clock.done("groups of features")
    steps = None
    if config.rank.rerank:
        steps, result["rerank"] = tune_and_judge(
            ranking, samples, learned.asked, prepared, vectors, config, clock.part(4, "re-ranking")
        )
        steps.save(out)
        clock.done("re-ranking")
    warnings = Counter({"rows without a channel's candidate on validation": learned.retrieved.num_without})
    del samples, learned
    for protocol in PROTOCOLS:
        asked = _gather(retrieval, generator, prepared, "test", config, protocol, clock.part(5, f"test, {protocol}"))
        table = asked.frame() if protocol != config.evaluate.seen_items else asked.write(out / "test")
        _write_lists(out / LISTS, protocol, asked, from_frame(table), ranking, steps, config, prepared)
        warnings[f"test rows without a channel's candidate, seen items {protocol}"] += asked.retrieved.num_without
        del table, asked
    clock.done("test")
    for name, count in ranking.missing().items():
        warnings[f"rows scored without the feature {name}"] += count
    said = [f"rank: {count:,} {what}" for what, count in warnings.items() if count]
    return _finish(out, result | {"warnings": said}, clock)


# ---- candidates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gathered:
    """The rows of a split with their candidates."""

    asked: Asked
    retrieved: Retrieved

    def frame(self) -> pl.DataFrame:
        """candidates.parquet as a frame."""
        found = self.retrieved
        return as_table(found.features(), found.candidates, self.asked.users, self.asked.targets, self.asked.events)

    def write(self, folder: Path) -> pl.DataFrame:
        """Write candidates.parquet, and give it."""
        frame = self.frame()
        tasks = [name for name in TASKS if name in frame.columns]
        first = len(("user", "item", "query", "label")) + len(tasks)
        folder.mkdir(parents=True, exist_ok=True)
        tables.CANDIDATES_FILE.write(frame.to_arrow(), folder, tables.candidates_schema(frame.columns[first:], tasks))
        return frame

    def figures(self) -> dict[str, Any]:
        """What the channels recall and add, and the ceiling."""
        return figures(self.retrieved.lists, self.retrieved.candidates, self.asked.targets)


def _gather(
    retrieval: Retrieval,
    generator: Generator,
    prepared: Path,
    split: Split,
    config: Config,
    protocol: str,
    progress: Progress,
) -> Gathered:
    asked = read_queries(prepared, split, sampled(prepared, split, config.evaluate.sample_users))
    banned = asked.queries.histories if protocol == "drop" else None
    queries = asked.queries
    if config.rank.queries == "as_served":
        queries = as_served(queries.histories, retrieval.tables.served_moment)
    return Gathered(asked, retrieval(queries, generator, banned, progress=progress))


# ---- the ranker -------------------------------------------------------------------------------------------------------


def _weighted(samples: Samples, asked: Asked, config: RankConfig) -> Samples:
    rows, rule = samples.queries, config.weights
    timestamp = None if asked.queries.now is None else asked.queries.now[rows]
    weight = list_weights(asked.events[rows], rule.events, timestamp=timestamp, half_life_days=rule.half_life_days)
    return weighted(samples, weight)


def _judged(samples: Samples, learned: Gathered, config: Config, progress: Progress) -> tuple[Ranking, dict[str, Any]]:
    names = list(samples.names)
    scores = {name: samples.features[:, names.index(f"{name}_score")] for name in learned.retrieved.lists}
    base = scores.pop(GENERATOR)
    return fit_and_judge(
        samples, base, config.rank, config.seed, confidence=config.evaluate.confidence, voices=scores,
        num_lists=len(learned.asked.users), progress=progress,
    )  # fmt: skip


def _explained(ranking: Ranking, samples: Samples, most: int = 5) -> dict[str, Any] | None:
    """The first `most` candidates of the first list whose target is ranked, and what made their scores."""
    hits = samples.list_of_row[samples.label > 0]
    if not len(hits):
        return None
    chosen = samples.take(samples.list_of_row == hits[0])
    best = np.sort(np.argsort(-ranking.scores(chosen), kind="stable")[:most])
    chosen = chosen.take(best)
    rows = ranking.explain(chosen)
    if rows is None:
        return None
    listed_ = zip(chosen.item.tolist(), chosen.label.tolist(), rows, strict=True)
    found = [{"item": item, "is_next": label > 0, **row} for item, label, row in listed_]
    return {"user": int(chosen.user[0]), "candidates": sorted(found, key=lambda row: -row["score"])}


def _groups(samples: Samples, retrieved: Retrieved, num_levels: int) -> dict[str, tuple[str, ...]]:
    by_group = features(retrieved.candidates.channels, num_levels)
    return {group: tuple(name for name in names if name in samples.names) for group, names in by_group.items()}


# ---- the lists --------------------------------------------------------------------------------------------------------


def _write_lists(
    folder: Path,
    protocol: str,
    asked: Gathered,
    samples: Samples,
    ranking: Ranking,
    steps: Reranking | None,
    config: Config,
    prepared: Path,
) -> None:
    """Parts of predictions of the test rows: the ranker's, and the re-rankers' where there are any."""
    rows = read_rows(prepared, "test", sampled(prepared, "test", config.evaluate.sample_users))
    width = config.evaluate.beam_width
    scored = Scored(ranking, samples)
    lists = {RANK: listed(samples, scored.scores, width)}
    places: dict[str, NDArray[np.int64]] = {RANK: samples.queries}
    if steps is not None:
        lists[RERANK] = steps.lists(scored, len(rows), width)[:2]
        places[RERANK] = np.arange(len(rows))
    for name, (items, values) in lists.items():
        shape = (len(rows), width)
        all_items, all_values = np.full(shape, -1, dtype=np.int32), np.full(shape, -np.inf, dtype=np.float32)
        all_items[places[name]], all_values[places[name]] = items, values
        write_part(folder, name, protocol, 0, rows, all_items, all_values)
        write_counts(folder, name, 0, users=len(rows), invalid=0)


# ---- the record -------------------------------------------------------------------------------------------------------


class _Clock:
    """Seconds by part of the stage, and progress over all of them."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress, self._began = progress, time.perf_counter()

    def part(self, number: int, name: str) -> Progress:
        """Progress of one of the parts."""

        def report(done: float, total: float, note: str = "", /, **values: float) -> None:
            self._progress(number + done / max(total, 1), _STEPS, f"{name}: {note}" if note else name, **values)

        return report

    def done(self, name: str) -> None:
        """All since the last call belongs to `name`."""
        now = time.perf_counter()
        self.seconds[name], self._began = now - self._began, now


def _finish(out: Path, result: dict[str, Any], clock: _Clock) -> dict[str, Any]:
    unit = 1 << 30 if sys.platform == "darwin" else 1 << 20  # bytes there, KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    result |= {"seconds": _rounded(clock.seconds), "peak_memory_gib": round(peak, 2)}
    out.mkdir(parents=True, exist_ok=True)
    (out / FACTS_FILE).write_text(json.dumps(result, indent=1) + "\n")
    return result


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}
