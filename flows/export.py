"""What the command `export` does: a trained model as a folder of its own."""

from pathlib import Path

from rich.console import Console

from flows.stores import open_existing
from genrec.serve import bundle
from genrec.serve.model_files import in_store


def export(out: Console, run: str, folder: Path, force: bool, store: str | None, rank: bool | None = None) -> None:
    """Export the model of a run (an id, or `latest`), or the one in service under a name, and say what it is.

    rank: whether its ranking goes along, where it is of use; None: as its run's service.rank says.

    Raises GenrecError where there is no such run, or the folder holds something else.
    """
    files = in_store(open_existing(store), run, rank=rank)
    manifest = bundle.write(files, folder, force)
    size = sum(file["bytes"] for file in manifest["files"].values())
    kind = "adapter, with its base inside" if manifest["base"]["folder"] == bundle.BASE else "whole model"
    out.print(f"{files.where}: {files.model_key} ({kind}, {size / 1e6:.1f} MB)", markup=False, soft_wrap=True)
    out.print(f"exported to {folder}; Recommender.load({str(folder)!r}) loads it", markup=False, soft_wrap=True)
