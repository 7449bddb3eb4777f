"""What the command `prune` does: show the disk a store uses and what it can do without, and remove that."""

from collections import defaultdict

from rich.console import Console

from flows.console import table
from genrec.errors import GenrecError
from genrec.store.prune import Item, disk_use, removable, remove
from genrec.store.remote import is_url, local_root, open_store

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


def prune(out: Console, store: str, keep_days: float, yes: bool) -> None:
    """List what has not changed for `keep_days` days and is not in use; remove it with `yes`."""
    root = local_root(store)
    if not is_url(store) and not root.is_dir():
        raise GenrecError(f"store {root}: no such folder; give the --store that the runs had")
    opened = open_store(store)
    items = removable(opened, keep_days)
    if yes:
        items = remove(opened, items)
    for item in items:
        out.print(
            f"{item.kind}  {item.path.relative_to(opened.root)}  {_shown(item.bytes)}", markup=False, soft_wrap=True
        )
    out.print(f"{'removed' if yes else 'to remove'}: {_totals(items)}", soft_wrap=True)
    if items and not yes:
        out.print("Nothing was removed; --yes removes it.")
    rows = [[name, _shown(size), _IN_WORDS.get(name, "")] for name, size in disk_use(opened.root).items()]
    out.print(table(f"disk use of {root}", ["folder", "size", "what"], rows))


def _totals(items: list[Item]) -> str:
    """ "2 x artifact 3.1 MB, ...", all in all first."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for item in items:
        by_kind[item.kind].append(item.bytes)
    parts = [f"{len(sizes)} x {kind} {_shown(sum(sizes))}" for kind, sizes in by_kind.items()]
    total = sum(item.bytes for item in items)
    return f"{_shown(total)} ({total} bytes): {', '.join(parts)}" if parts else "nothing"


def _shown(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
