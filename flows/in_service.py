"""What the commands about the model in service do: show it, put another one there, go back."""

import time

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from flows.session import finished_report
from genrec.config import Config
from genrec.errors import GenrecError
from genrec.in_service.registry import Record, Registry, names
from genrec.store.local import Store
from genrec.store.remote import is_url, local_root, open_store
from tasks.run import STAGES


def show(out: Console, name: str, store: str | None) -> None:
    """The model in service, where its files are, and the history."""
    root = local_root(_named(store))
    if (is_url(_named(store)) or root.is_dir()) and names(_open(store)):
        _show(out, _registry(name, store))
    else:
        out.print("nothing in service yet")
        out.print("A run with --set service.promote=if_not_worse puts its model in service, or promote RUN does.")


def _show(out: Console, registry: Registry) -> None:
    history = registry.history()
    out.print(f"{registry.name}: {history[-1].run_id} is in service (change {history[-1].number})")
    out.print(f"its files, in {registry.store.root}:", markup=False, soft_wrap=True)
    for stage in ("sid", "base", "sft", "rl"):
        path = registry.store.object_path(history[-1].keys[stage], history[-1].digests.get(stage))
        out.print(f" {stage:<4} {path.relative_to(registry.store.root)}", soft_wrap=True)
    out.print("history:")
    for record in history:
        out.print(f"{record.number:>3}  {_when(record)}  {record.action.replace('_', ' ')}  {record.run_id}")
        out.print(Padding(Text(record.why), (0, 0, 0, 5)))


def promote_run(out: Console, run: str, store: str | None) -> None:
    """Put the model of a finished run in service. Raises GenrecError for a run that stopped early."""
    opened = _open(store)
    report = finished_report(opened.root, run, opened)
    stages = [stage for stage in report["stages"] if stage["name"] in STAGES]
    keys, digests = ({stage["name"]: stage[what] for stage in stages} for what in ("key", "digest"))
    if "evaluate" not in keys:
        raise GenrecError(f"{run}: stopped before the evaluation; only a whole run can be put in service")
    record = Registry(opened, report["name"]).promote(report["run_id"], keys, "by hand", digests=digests)
    out.print(f"{report['name']}: {record.run_id} is in service (change {record.number})", soft_wrap=True)


def go_back(out: Console, name: str, to: int, store: str | None) -> None:
    """Put the model back in service that was there before, or that of change number `to`."""
    registry = _registry(name, store)
    record = registry.roll_back(to or None)
    out.print(f"{registry.name}: {record.run_id} is in service again (change {record.number})", soft_wrap=True)


def _named(store: str | None) -> str:
    return store or Config.model_fields["store"].default


def _open(store: str | None) -> Store:
    """The store, which must be there: a mistyped folder is not made. Raises GenrecError."""
    root = local_root(_named(store))
    if not is_url(_named(store)) and not root.is_dir():
        raise GenrecError(f"store {root}: no such folder; give the --store that the runs had")
    return open_store(_named(store))


def _registry(name: str, store: str | None) -> Registry:
    """Of the one name there is, where none is given. Raises GenrecError where that is not clear."""
    opened = _open(store)
    known = names(opened)
    if not known:
        raise GenrecError(f"store {opened.root}: no model is in service; run with --set service.promote=if_not_worse")
    if not name and len(known) > 1:
        raise GenrecError(f"several models are in service: {', '.join(known)}; name one")
    if name and name not in known:
        raise GenrecError(f"no model is in service under {name!r}; there are {', '.join(known)}")
    return Registry(opened, name or known[0])


def _when(record: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(record.at_unix_s))
