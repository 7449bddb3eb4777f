"""The report of a finished run, by the name of its folder."""

import contextlib
import json
from itertools import islice
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError
from genrec.store.local import Store, runs_in


def finished_report(root: Path, run: str, store: Store | None = None) -> dict[str, Any]:
    """The report of a run (`latest`: the newest) in the folder of a store, else one that another machine put there.

    store: the one at that folder; needed where its truth is at a URL. Raises GenrecError that lists the newest runs.
    """
    path = root / "runs" / (store.run_named(run) if store is not None else run) / "report.json"
    if path.is_file():
        return json.loads(path.read_text())
    if store is not None:
        with contextlib.suppress(GenrecError):
            return json.loads(store.read_document(f"runs/{path.parent.name}/report.json"))
    runs = [*islice(runs_in(root) if store is None else store.finished_runs(), 5)]
    known = f"finished runs, newest first: {', '.join(runs)}" if runs else "there is no finished run yet: make run"
    raise GenrecError(f"{path.parent}: no report there; {known}")
