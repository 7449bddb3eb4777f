"""The finished shards of a batch as one artifact, and what they counted as one summary."""

import os
import shutil
from pathlib import Path
from typing import Any

from genrec.errors import DataError, GenrecError
from genrec.serve.batch.plan import Plan
from genrec.serve.batch.shard import NUM_NAMED, finished
from genrec.tables import RECOMMENDATIONS_FILE

_SUMS = ("users", "by_model", "by_popularity", "short", "skipped_events", "history_events", "unknown_users")


def collect(plan: Plan, work: Path, out: Path) -> dict[str, Any]:
    """Link the parts into `out`; the sums of the records: users, by_model and by_popularity (whose lists those are), short
    (lists of fewer than k items), history_events and skipped_events (those of items that the model does not know),
    unknown_users and the first few of them by name, repeated_users, parts, made_at_ms, search_seconds (of all tasks
    together).

    Raises DataError where no user is left, GenrecError for a part that is not as it was written.
    """
    records = []
    for shard in range(len(plan.shards)):
        record = finished(work, shard)
        if record is None:
            raise GenrecError(f"{RECOMMENDATIONS_FILE.part(work, shard)} is damaged; run it again: it is searched anew")
        records.append(record)
    summary: dict[str, Any] = {name: sum(record[name] for record in records) for name in _SUMS}
    if not summary["users"]:
        raise DataError("recommend.active_days: no user has an event in these days; raise it, or leave it out")
    for shard in range(len(plan.shards)):
        _link(RECOMMENDATIONS_FILE.part(work, shard), RECOMMENDATIONS_FILE.part(out, shard))
    return {
        **summary,
        "unknown_named": [name for record in records for name in record["unknown_named"]][:NUM_NAMED],
        "repeated_users": plan.repeated_users,
        "parts": len(plan.shards),
        "made_at_ms": plan.made_at_ms,
        "search_seconds": round(sum(record["seconds"] for record in records), 3),
    }


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
