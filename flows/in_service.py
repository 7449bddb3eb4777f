"""What the commands about the model in service do: show it, put another one there, go back."""

import contextlib
import os
import time
from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from flows.serve import environment
from flows.serve.server import api, served
from flows.service_changes import in_words, put_in_service, registry_of, take_back
from flows.stores import is_there, named, open_existing
from genrec.in_service.registry import Record, Registry, names
from genrec.store.remote import local_root


def show(out: Console, name: str, store: str | None) -> None:
    """The model in service, where its files are, and the history."""
    if is_there(store) and names(open_existing(store)):
        _show(out, registry_of(name, store))
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
    """Put the model of a finished run in service, on the command line."""
    with _where_it_is_shown(store):
        name, record = put_in_service(run, store)
    out.print(in_words(name, record), soft_wrap=True)


def go_back(out: Console, name: str, to: int, store: str | None) -> None:
    """Put the model back in service that was there before, or that of change number `to`, on the command line."""
    with _where_it_is_shown(store):
        name, record = take_back(name, to, store)
    out.print(in_words(name, record), soft_wrap=True)


@contextlib.contextmanager
def _where_it_is_shown(store: str | None) -> Iterator[None]:
    """With the Prefect server that is up, if one is: there the change is shown. The next `serve` shows it otherwise."""
    root = local_root(named(store))
    if "PREFECT_API_URL" not in os.environ and served(root / "prefect") is None:
        yield
        return
    environment.prepare(root)
    with api(root / "prefect"):
        yield


def _when(record: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(record.at_unix_s))
