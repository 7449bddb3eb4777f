"""The manual and the disk."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.app import Debug, Store, app
from flows.session import out, short_errors
from genrec.errors import GenrecError
from genrec.paths import expanded


@app.command()
def settings(
    write: Annotated[Path | None, typer.Option("--write", help="Write the page to this file.")] = None,
) -> None:
    """Every setting with its default and meaning, as Markdown (conf/README.md is this page)."""
    from flows.manual import manual

    if not write:
        print(manual(), end="")
        return
    with short_errors(debug=False):
        try:
            Path(expanded(str(write))).write_text(manual(), encoding="utf-8")
        except OSError as error:
            raise GenrecError(f"--write {write}: {error.strerror}; name a file in a folder that is there") from None


@app.command()
def prune(
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, help="Leave what was written in the last so many days.")
    ] = 7,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without, it is only listed.")] = False,
    store: Store = None,
    debug: Debug = False,
) -> None:
    """List what the store can do without, and the disk it uses; --yes removes it. Nothing in use is ever removed."""
    with short_errors(debug):
        from flows.housekeeping import prune as prune_store

        prune_store(out, store, keep_days, yes)
