"""The report of a finished run, by the name of its folder."""

import contextlib
import json
from pathlib import Path
from typing import Any

from genrec.errors import GenrecError
from genrec.store.local import Store


def finished_report(root: Path, run: str, store: Store | None = None) -> dict[str, Any]:
    """The report of a run (`latest`: the newest) in the folder of a store, else one that another machine put there.

    Raises GenrecError that lists the newest finished runs of this machine.
    """
    path = root / "runs" / run / "report.json"
    if path.is_file():  # here first: runs/latest is a link of this machine, at a URL there is none
        return json.loads(path.read_text())
    if store is not None:
        with contextlib.suppress(GenrecError):
            return json.loads(store.read_document(f"runs/{run}/report.json"))
    found = sorted((root / "runs").glob("*/report.json"), key=lambda p: -p.stat().st_mtime)
    runs = [p.parent.name for p in found if not p.parent.is_symlink()]
    known = f"finished runs, newest first: {', '.join(runs[:5])}" if runs else "there is no finished run yet: make run"
    raise GenrecError(f"{path.parent}: no report there; {known}")
