"""Ingest of a small shop with an event log, as a stage with a real store and Ray's tasks as plain calls.

As a program it is a run that a test kills: `python -m tests.support.ingest_with_log FOLDER` says when ingest has begun.
"""

import sys
from pathlib import Path
from typing import Any

from genrec.config import Config
from genrec.event_log import open_log
from genrec.store.local import Artifact, Store
from genrec.tables import INTERACTIONS_FILE, QUARANTINE_FILE
from tasks.run import Run
from tasks.stages.ingest import ingest
from tests.support.event_logs import T_MS
from tests.support.promises.whole_run import in_this_process

FILE_ROWS = [("u1", "i1", T_MS, "click"), ("u1", "i2", T_MS + 5, "purchase"), ("u2", "i1", T_MS + 9, "click")]


def write_shop(folder: Path) -> None:
    """The files of the shop, and an empty event log beside them."""
    shop = folder / "shop"
    shop.mkdir(parents=True)
    lines = [",".join(map(str, row)) for row in [("user_id", "item_id", "timestamp", "event"), *FILE_ROWS]]
    (shop / "interactions.csv").write_text("\n".join(lines) + "\n")
    (shop / "items.csv").write_text("item_id,title\ni1,One\ni2,Two\n")
    open_log(folder / "events.sqlite").close()


def config_of(folder: Path, **data: Any) -> Config:
    given = {"source": "table", "path": str(folder / "shop"), "events": str(folder / "events.sqlite"), **data}
    return Config.model_validate({"data": {"max_share_without_metadata": 1.0, **given}})


def run_ingest(folder: Path, **data: Any) -> tuple[Artifact, str]:
    """The artifact, and "computed" or "cached"."""
    run = Run(config_of(folder, **data), Store(folder / "store"), "run")
    with in_this_process():
        result = ingest.execute(run, {})
    return getattr(result, "data", result), run.records[0]["status"]


def rows_of(artifact: Artifact) -> list[tuple[str, str, int, str]]:
    table = INTERACTIONS_FILE.read(artifact.path)
    return list(zip(*(table[name].to_pylist() for name in ("user_id", "item_id", "timestamp", "event")), strict=True))


def quarantine_of(artifact: Artifact) -> list[dict[str, Any]]:
    return QUARANTINE_FILE.read(artifact.path).to_pylist()


if __name__ == "__main__":
    from genrec.data.merge import merge

    def said(*arguments: Any, **named: Any) -> Any:
        print("merging", flush=True)
        sys.stdin.readline()  # until the test has killed this process, or lets it go on
        return merge(*arguments, **named)

    import tasks.stages.ingest as stage

    stage.merge = said
    run_ingest(Path(sys.argv[1]))
