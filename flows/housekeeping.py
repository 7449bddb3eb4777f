"""What the command `prune` does: show the disk a store uses and what it can do without, and remove that."""

import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from flows.console import table
from flows.stores import named, open_existing
from genrec.store.prune import disk_use, removable, remove, size
from genrec.store.remote import local_root
from tasks.ray.sessions import ended

_IN_WORDS = {
    "objects": "artifacts",
    "generations": "artifacts written by a refresh",
    "runs": "reports",
    "service": "records of models in service",
    "work": "checkpoints",
    "tmp": "artifacts being written",
    "corrupt": "damaged artifacts, set aside",
    "prefect": "Prefect's database and logs",
    "locks": "locks",
}


def prune(out: Console, store: str | None, keep_days: float, yes: bool) -> None:
    """List what has not changed for `keep_days` days and is not in use; remove it with `yes`."""
    opened = open_existing(store)
    items, sessions = removable(opened, keep_days), [(path, size(path)) for path in ended(keep_days)]
    if yes:
        items, sessions = remove(opened, items), [session for session in sessions if _is_removed(session[0])]
    found: list[tuple[str, Path, int]] = [(item.kind, item.path.relative_to(opened.root), item.bytes) for item in items]
    found += [("Ray session", path, num_bytes) for path, num_bytes in sessions]
    for kind, path, num_bytes in found:
        out.print(f"{kind}  {path}  {shown_size(num_bytes)}", markup=False, soft_wrap=True)
    out.print(f"{'removed' if yes else 'to remove'}: {_totals(found)}", soft_wrap=True)
    if found and not yes:
        out.print("Nothing was removed; --yes removes it.")
    rows = [[name, shown_size(used), _IN_WORDS.get(name, "")] for name, used in disk_use(opened.root).items()]
    out.print(table(f"disk use of {local_root(named(store))}", ["folder", "size", "what"], rows))


def _is_removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _totals(found: Iterable[tuple[str, Path, int]]) -> str:
    """ "2 x artifact 3.1 MB, ...", all in all first."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for kind, _, num_bytes in found:
        by_kind[kind].append(num_bytes)
    parts = [f"{len(sizes)} x {kind} {shown_size(sum(sizes))}" for kind, sizes in by_kind.items()]
    total = sum(sum(sizes) for sizes in by_kind.values())
    return f"{shown_size(total)} ({total} bytes): {', '.join(parts)}" if parts else "nothing"


def shown_size(num_bytes: float) -> str:
    """950 B, 2.5 kB, 1.2 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"
