"""The parts of a rank artifact that serving needs, in a store or in an exported folder, and the libraries that they take."""

import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genrec.errors import ConfigError, DataError

FACTS, RETRIEVAL, RANKING, RERANK, TYPICAL = "rank.json", "retrieval", "ranking", "rerank.json", "typical.json"
NOT_TOLD = ("user_recency_days", "user_gap_days", "user_purchases")  # features of what a request does not hold
VALID = Path("valid") / "candidates.parquet"
_ALWAYS = ("scipy", "polars", "pydantic")
_OF_CHANNELS = {"als": ("implicit",)}
_OF_RANKERS = {"blend": ("lightgbm",), "lambdamart": ("lightgbm",), "xgboost": ("xgboost",)}


def read_facts(folder: Path) -> dict[str, Any]:
    """rank.json. Raises DataError where it cannot be read."""
    path = folder / FACTS
    try:
        facts = json.loads(path.read_bytes())
        if not isinstance(facts, dict) or "use" not in facts:
            raise ValueError("it does not say whether the ranking is used")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); compute the stage rank again") from None
    return facts


def check_libraries(folder: Path) -> None:
    """Raises ConfigError that names the libraries which the ranking of a folder needs and this Python lacks."""
    missing = [name for name in _needed(folder) if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{folder}: to rank lists, {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed and not installed; "
            f"install {'it' if len(missing) == 1 else 'them'}, or serve the generator's lists: service.rank=false, in Python "
            "Recommender.load(..., rank=False)"
        )


def _needed(folder: Path) -> Iterator[str]:
    yield from _ALWAYS
    try:
        ranker = json.loads((folder / RANKING / "ranking.json").read_bytes())["name"]
        channels = json.loads((folder / RETRIEVAL / "retrieval.json").read_bytes())["channels"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: holds no readable ranking ({error}); compute the stage rank again") from None
    yield from _OF_RANKERS.get(ranker, ())
    for channel in channels:
        yield from _OF_CHANNELS.get(channel, ())


def copy(folder: Path, to: Path) -> None:
    """What serving needs of an artifact, in a new folder: all but candidates and lists of the evaluation, of which
    `typical.json` is left."""
    to.mkdir()
    for name in (RETRIEVAL, RANKING):
        shutil.copytree(folder / name, to / name)
    for name in (FACTS, RERANK):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, to / name)
    (to / TYPICAL).write_text(json.dumps(typical_values(folder), indent=1) + "\n")


def typical_values(folder: Path) -> Mapping[str, float]:
    """The median of each feature that was never missing in validation, and of those that no request tells, over the first
    validation candidates; {} where there are none.

    Ranking models have not learned what it means that such a feature is missing: LightGBM would take it for 0. What no
    request tells would be missing for everybody, which it was for few, if for any.
    """
    stored = folder / TYPICAL
    try:
        if stored.is_file():
            return {name: float(value) for name, value in json.loads(stored.read_bytes()).items()}
        return _medians(folder / VALID) if (folder / VALID).is_file() else {}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{folder}: the typical features cannot be read ({error}); compute the stage rank again"
        ) from None


def _medians(candidates: Path, rows: int = 1 << 16) -> dict[str, float]:
    import numpy as np
    import pyarrow.parquet as pq

    from genrec.rank.samples import NOT_FEATURES

    file = pq.ParquetFile(candidates)
    names = [name for name in file.schema_arrow.names if name not in NOT_FEATURES]
    medians: dict[str, float] = {}
    missing: set[str] = set()
    for part, batch in enumerate(file.iter_batches(rows, columns=names)):
        for name in names:
            values = batch.column(name).to_numpy(zero_copy_only=False)
            known = np.isfinite(values)
            if not known.all():
                missing.add(name)
            if part == 0 and known.any():
                medians[name] = float(np.median(values[known]))
    return {name: value for name, value in medians.items() if name in NOT_TOLD or name not in missing}
