"""A finished batch in sentences, for the terminal and the Prefect UI."""

import time
from collections.abc import Mapping
from typing import Any


def in_words(made: Mapping[str, Any]) -> list[str]:
    """Sentences about a batch: how many lists and by what, whom and what the model does not know, how long it took.

    made: the summary of the stage with `k`, `model`, `events_of`, `status` and `path` (flows/recommend.py).
    """
    of_popular = f", {made['by_popularity']:,} of popular items" if made["by_popularity"] else ""
    lines = [f"{made['users']:,} users, {made['by_model']:,} lists by the model of {made['model']}{of_popular}"]
    if made["short"]:
        lines.append(f"{made['short']:,} lists are shorter than {made['k']}: no more items may come out")
    if made["unknown_users"]:
        more = ", ..." if made["unknown_users"] > len(made["unknown_named"]) else ""
        lines.append(
            f"{made['unknown_users']:,} users of the file are not in the data and got popular items: "
            f"{', '.join(made['unknown_named'])}{more}"
        )
    if made["repeated_users"]:
        lines.append(f"{made['repeated_users']:,} rows of the users' file name a user again; each got one list")
    lines.append(f"histories: the events of {made['events_of']}, all of them")
    if made["skipped_events"]:
        lines.append(
            f"{made['skipped_events']:,} of {made['history_events']:,} events are of items that the model does not know, "
            "and were skipped"
        )
    if made["status"] == "cached":
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(made["made_at_ms"] / 1000))
        lines.append(f"nothing new: these are the lists of {at}")
    else:
        again = f"; {made['shards_taken_over']} shards were finished before" if made["shards_taken_over"] else ""
        lines.append(f"searched in {made['seconds']:,.1f} s, {made['users_per_s']:,.0f} users/s{again}")
    lines.append(f"lists in {made['path']} ({made['parts']:,} Parquet file{'s' * (made['parts'] != 1)})")
    return lines
